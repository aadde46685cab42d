"""What apps do wrong: code in place of `misbehave` in service.py, or run at its import."""

WRONG = """def misbehave(environ, start_response):
    if environ["PATH_INFO"] != "/ocr":
        return None
    start_response("200 OK", [("Content-Type", "application/json")])
    return [b'{"text": "HELLO WORM"}']
"""
SICK = """def misbehave(environ, start_response):
    if environ["PATH_INFO"] != "/healthz" or environ.get("HTTP_USER_AGENT") != "ocrpack":
        return None
    start_response("500 Internal Server Error", [("Content-Type", "text/plain")])
    return [b"no model"]
"""
RIGHT_ONCE = """answered = []


def misbehave(environ, start_response):
    if environ["PATH_INFO"] != "/ocr":
        return None
    answered.append(environ)
    if len(answered) == 1:
        return None
    start_response("200 OK", [("Content-Type", "application/json")])
    return [b'{"text": "HELLO WORM"}']
"""
CRASH = """
import threading


def crash():
    while not promoted():
        time.sleep(0.005)
    os._exit(1)


threading.Thread(target=crash, daemon=True).start()
"""
CRASH_LATER = """
import signal
import threading

MASTER = os.getppid()


def crash():
    while not promoted():
        time.sleep(0.02)
    time.sleep(1)
    os.kill(MASTER, signal.SIGKILL)


threading.Thread(target=crash, daemon=True).start()
"""
SICK_LATER = """def misbehave(environ, start_response):
    gate = RUN / "gate-open"
    late = gate.exists() and time.time() - gate.stat().st_mtime > 1
    if not late or environ["PATH_INFO"] != "/healthz" or environ.get("HTTP_USER_AGENT") != "ocrpack":
        return None
    start_response("500 Internal Server Error", [("Content-Type", "text/plain")])
    return [b"no model"]
"""
WRONG_LATER = """def misbehave(environ, start_response):
    if not promoted() or environ["PATH_INFO"] != "/ocr" or environ.get("HTTP_USER_AGENT") != "ocrpack":
        return None
    start_response("200 OK", [("Content-Type", "application/json")])
    return [b'{"text": "HELLO WORM"}']
"""
SECRET = {
    "secrets": ["OCR_TOKEN"],
    "misbehaves": """def misbehave(environ, start_response):
    if environ["PATH_INFO"] != "/readyz":
        return None
    start_response("200 OK", [("Content-Type", "application/json")])
    return [b'{"token": "%s"}' % os.environ["OCR_TOKEN"].encode()]
""",
}
