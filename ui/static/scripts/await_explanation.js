// Show below the buttons that what explains a result is waited for: its own place is empty until then.
() => document.querySelector("#phrases").classList.add("vg-busy")
