/*
 * Selecting text on the picture with a mouse. Browsers lose their way between elements that are placed freely, so the
 * place in the text is found from the words' boxes. Fingers select the browser's own way, with its handles.
 */

import { caretAt } from "./words.js";

export function startSelecting(sheet, layer, words, locate) {
  let finger = false;
  let anchor = null;
  const placeOf = (event) => {
    const [index, offset] = caretAt(words(), ...locate(event));
    return [layer.children[index].firstChild, offset, index];
  };
  sheet.addEventListener("pointerdown", ({ pointerType }) => (finger = pointerType === "touch"));
  sheet.addEventListener("mousedown", (event) => {
    if (finger || event.button !== 0 || !words().length) return;
    event.preventDefault(); // the browser's own way of selecting, which would focus the sheet as well
    sheet.focus({ preventScroll: true });
    const [node, offset, index] = placeOf(event);
    const selection = getSelection();
    if (event.detail > 1) selectWhole(selection, index, event.detail > 2);
    else if (event.shiftKey && selection.anchorNode) selection.extend(node, offset);
    else selection.collapse(node, offset);
    anchor = [selection.anchorNode, selection.anchorOffset];
  });
  addEventListener("mousemove", (event) => {
    if (!anchor || !(event.buttons & 1) || event.detail > 1 || !words().length) return;
    const [node, offset] = placeOf(event);
    if (event.movementX || event.movementY) getSelection().setBaseAndExtent(...anchor, node, offset);
  });
  addEventListener("mouseup", () => (anchor = null));
  document.addEventListener("copy", (event) => {
    const selection = getSelection();
    if (selection.isCollapsed || !layer.contains(selection.getRangeAt(0).commonAncestorContainer)) return;
    event.clipboardData.setData("text/plain", selection.getRangeAt(0).cloneContents().textContent);
    event.preventDefault();
  });

  function selectWhole(selection, index, line) {
    const all = words();
    const among = (number) => (line ? all[number]?.row === all[index].row : number === index);
    let [first, last] = [index, index];
    while (among(first - 1)) first--;
    while (among(last + 1)) last++;
    const end = layer.children[last].firstChild;
    selection.setBaseAndExtent(layer.children[first].firstChild, 0, end, end.length);
  }
}
