// A press that was refused is answered by a toast alone: the picture no longer waits for an answer.
() => document.querySelector("#stage .vg-view").classList.remove("vg-busy")
