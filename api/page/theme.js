// Before anything is painted: the theme the reader chose, if any. A classic script, for a module would come too late.
document.documentElement.dataset.theme = (() => {
  try {
    return localStorage.getItem("jidpost.theme") || "system";
  } catch {
    return "system"; // storage is switched off
  }
})();
