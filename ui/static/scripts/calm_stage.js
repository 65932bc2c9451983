// A press that was refused is answered by a toast alone: the picture no longer waits for anything.
() => document.querySelector("#stage .vg-view").classList.remove("vg-busy")
