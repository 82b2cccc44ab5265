// Passkeys (WebAuthn): what a browser can only do by script. Each place for them is an element with data-passkey="get" or "create" that stays hidden
// where the browser knows no passkeys; all other ways to sign in need no script.
//
//   data-begin, data-finish   where the challenge comes from and the answer goes to (POST, JSON)
//   data-failed               the sentence when the browser or the network gives up
//
// The button of such an element starts; the label typed into input[name=label], if there is one, goes along. After success the page goes to
// where the answer says, or, inside a form with data-again, sends that form again.
"use strict";
(() => {
  if (!window.PublicKeyCredential || !navigator.credentials || !window.isSecureContext) return;

  const bytes = text => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), c => c.charCodeAt(0));
  const text = buffer => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

  const post = async (path, body) => {
    const answer = await fetch(path, {
      method: "POST", credentials: "same-origin", redirect: "error",
      headers: { "Content-Type": "application/json", "Accept": "application/json" }, body: JSON.stringify(body),
    });
    const said = await answer.json();
    if (!answer.ok) throw { said: said.error };
    return said;
  };

  const ids = list => (list || []).map(c => ({ ...c, id: bytes(c.id) }));

  const create = async options => {
    const c = await navigator.credentials.create({ publicKey: {
      ...options, challenge: bytes(options.challenge), user: { ...options.user, id: bytes(options.user.id) }, excludeCredentials: ids(options.excludeCredentials),
    } });
    const r = c.response;
    return { id: c.id, rawId: text(c.rawId), type: c.type, clientExtensionResults: c.getClientExtensionResults(), authenticatorAttachment: c.authenticatorAttachment || undefined,
      response: { clientDataJSON: text(r.clientDataJSON), attestationObject: text(r.attestationObject), transports: r.getTransports ? r.getTransports() : [] } };
  };

  const get = async options => {
    const c = await navigator.credentials.get({ publicKey: { ...options, challenge: bytes(options.challenge), allowCredentials: ids(options.allowCredentials) } });
    const r = c.response;
    return { id: c.id, rawId: text(c.rawId), type: c.type, clientExtensionResults: c.getClientExtensionResults(), authenticatorAttachment: c.authenticatorAttachment || undefined,
      response: { clientDataJSON: text(r.clientDataJSON), authenticatorData: text(r.authenticatorData), signature: text(r.signature), userHandle: r.userHandle ? text(r.userHandle) : undefined } };
  };

  for (const place of document.querySelectorAll("[data-passkey]")) {
    const button = place.querySelector("button"), fault = place.querySelector("[role=alert]"), label = place.querySelector("input[name=label]");
    const { passkey, begin, finish, failed } = place.dataset;
    button.addEventListener("click", async () => {
      fault.textContent = "";
      button.disabled = true;
      try {
        const begun = await post(begin, {});
        const options = begun.options.publicKey || begun.options;
        const credential = passkey === "create" ? await create(options) : await get(options);
        const done = await post(finish, { state: begun.state, credential, label: label ? label.value : "" });
        const form = place.closest("form[data-again]");
        if (form) form.submit(); else location.assign(done.go);
      } catch (e) {
        fault.textContent = e && e.said || failed;
        button.disabled = false;
      }
    });
    place.hidden = false;
  }
})();
