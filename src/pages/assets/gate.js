// Comfort only: every page works without it.
(function () {
  "use strict";

  // A button that shows what is typed into a password field, and a word when Caps Lock is on.
  document.querySelectorAll("input[type=password][data-show]").forEach(function (input) {
    var button = document.createElement("button");
    button.type = "button";
    button.className = "reveal";
    button.setAttribute("aria-controls", input.id);
    input.parentNode.appendChild(button);

    var caps = document.createElement("p");
    caps.className = "caps";
    caps.setAttribute("role", "status");
    input.parentNode.parentNode.appendChild(caps);

    function show(visible) {
      input.type = visible ? "text" : "password";
      button.classList.toggle("on", visible);
      button.setAttribute("aria-label", visible ? input.dataset.hide : input.dataset.show);
      button.title = visible ? input.dataset.hide : input.dataset.show;
    }
    show(false);
    button.addEventListener("click", function () {
      show(input.type === "password");
      input.focus();
    });
    ["keydown", "keyup"].forEach(function (kind) {
      input.addEventListener(kind, function (event) {
        if (event.getModifierState) {
          caps.textContent = event.getModifierState("CapsLock") ? input.dataset.caps : "";
        }
      });
    });
    input.addEventListener("blur", function () { caps.textContent = ""; });
    // A password manager and the browser's memory look for the type.
    if (input.form) {
      input.form.addEventListener("submit", function () { show(false); });
    }
  });

  // A form is sent once, however often the button is pressed; coming back to the page makes it usable again.
  document.querySelectorAll("form[method=post]").forEach(function (form) {
    var sent = false;
    form.addEventListener("submit", function (event) {
      if (sent) {
        event.preventDefault();
        return;
      }
      sent = true;
      form.setAttribute("aria-busy", "true");
    });
    window.addEventListener("pageshow", function (event) {
      if (event.persisted) {
        sent = false;
        form.removeAttribute("aria-busy");
      }
    });
  });
})();
