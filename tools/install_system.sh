#!/usr/bin/env bash
# Install what the operating system must bring, where it is missing and apt is there: Tesseract's English data for
# building the default bundle, its command for the second way of reading, venv, git and a font. With `chromium`: a
# browser and its driver. With `systemd`: the programs that read and run units, for the tests. With `registry`: an OCI
# registry, for the tests. With `cc`: a C compiler. With `accuracy`: German
# language data for Tesseract. Without git and venv nothing works; where one of the others cannot be
# had, this only says so, since the demo does without Tesseract.
set -euo pipefail

packages=()
vital=yes
if [[ ${1:-} == chromium ]]; then
    command -v chromium >/dev/null || command -v google-chrome >/dev/null || packages+=(chromium)
elif [[ ${1:-} == systemd ]]; then
    command -v systemd-analyze >/dev/null && command -v systemd-socket-activate >/dev/null || packages+=(systemd)
elif [[ ${1:-} == registry ]]; then
    command -v docker-registry >/dev/null || packages+=(docker-registry)
elif [[ ${1:-} == accuracy ]]; then
    tesseract --list-langs 2>/dev/null | grep -qx deu || packages+=(tesseract-ocr-deu)
    tesseract --list-langs 2>/dev/null | grep -qx frk || packages+=(tesseract-ocr-frk)
elif [[ ${1:-} == cc ]]; then
    command -v cc >/dev/null || packages+=(gcc libc6-dev)
else
    command -v git >/dev/null && "${PYTHON:-python3}" -c 'import ensurepip, venv' 2>/dev/null && vital=no
    command -v tesseract >/dev/null || packages+=(tesseract-ocr)
    tesseract --list-langs 2>/dev/null | grep -qx eng || packages+=(tesseract-ocr-eng)
    command -v git >/dev/null || packages+=(git)
    command -v openssl >/dev/null || packages+=(openssl)
    command -v unzip >/dev/null || packages+=(unzip)
    command -v ssh-keygen >/dev/null && command -v ssh-agent >/dev/null || packages+=(openssh-client)
    compgen -G '/usr/share/fonts/truetype/dejavu/*.ttf' >/dev/null || packages+=(fonts-dejavu-core)
    "${PYTHON:-python3}" -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3-venv)
fi
[[ ${#packages[@]} -gt 0 ]] || exit 0

give_up() {
    echo "Please install these yourself (names in Debian): ${packages[*]}" >&2
    [[ $vital == no ]]
    exit
}

command -v apt-get >/dev/null || give_up
sudo=""
if [[ $(id -u) -ne 0 ]]; then
    command -v sudo >/dev/null || give_up
    sudo=sudo
fi
echo "Installing ${packages[*]} …" >&2
export DEBIAN_FRONTEND=noninteractive
{ $sudo apt-get update -qq && $sudo apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null; } || give_up
