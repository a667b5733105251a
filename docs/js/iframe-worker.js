// Search in pages read from disk: browsers start no Worker there, so a hidden frame does its work.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      const empty = new Promise((resolve) => (frame.onload = resolve)); // some browsers replace the first document
      document.documentElement.append(frame);
      this.ready = empty.then(() => this.start(frame.contentWindow, url));
    }

    async start(inner, url) {
      const load = (address) =>
        new Promise((resolve, reject) => {
          const script = inner.document.createElement("script");
          Object.assign(script, { src: address, onload: resolve, onerror: reject });
          inner.document.head.append(script);
        });
      inner.importScripts = async (...addresses) => {
        for (const address of addresses) await load(address);
      };
      inner.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      await load(url);
      return inner;
    }

    postMessage(data) {
      this.ready.then((inner) => inner.dispatchEvent(new MessageEvent("message", { data })));
    }
  };
}
