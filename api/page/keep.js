// What this browser remembers: each value under a name of ours. Works without storage, for as long as the page is open.

const beside = new Map();

export function recall(name, otherwise = null) {
  try {
    const text = localStorage.getItem("jidpost." + name);
    return text === null ? (beside.get(name) ?? otherwise) : text;
  } catch {
    return beside.get(name) ?? otherwise;
  }
}

// null forgets.
export function keep(name, value) {
  if (value === null) beside.delete(name);
  else beside.set(name, value);
  try {
    if (value === null) localStorage.removeItem("jidpost." + name);
    else localStorage.setItem("jidpost." + name, value);
  } catch {
    // switched off, or full
  }
}

export function recallJson(name, otherwise) {
  try {
    return JSON.parse(recall(name)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

export const keepJson = (name, value) => keep(name, value === null ? null : JSON.stringify(value));
