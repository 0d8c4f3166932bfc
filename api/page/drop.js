// Files out of what was chosen or dropped, folders with all that is below them.

export const MOST = 1000; // files at once

const entry = (file, path) => ({ file, path: path || file.name });

// Of an <input>; a folder's have their path.
export const fromInput = (input) => [...input.files].map((file) => entry(file, file.webkitRelativePath));

const fileOf = (handle) => new Promise((resolve, reject) => handle.file(resolve, reject));

// A reader tells a hundred at a time, and then none.
async function* below(folder) {
  const reader = folder.createReader();
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) return;
    yield* some;
  }
}

async function walk(handle, found) {
  if (found.length > MOST) return;
  if (handle.isFile) {
    found.push(entry(await fileOf(handle), handle.fullPath.replace(/^\//, "")));
    return;
  }
  for await (const child of below(handle)) await walk(child, found);
}

// The handles have to be taken before anything is waited for: the list is empty after the event. What cannot be read,
// as a file that is gone, is left out and counted.
export async function fromDrop(transfer) {
  const handles = [...transfer.items].filter((item) => item.kind === "file").map((item) => item.webkitGetAsEntry?.());
  const plain = [...transfer.files];
  const found = [];
  let unread = 0;
  if (handles.some((handle) => !handle)) return { found: plain.map((file) => entry(file)), unread };
  for (const handle of handles) await walk(handle, found).catch(() => unread++);
  return { found, unread };
}

export const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
