"""Our model served by SGLang: the only folder of services that imports it, where it needs it."""
