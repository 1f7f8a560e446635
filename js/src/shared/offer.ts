/** Hands a file to the user as a download; nothing leaves the page. */
export function offer(name: string, file: Blob): void {
  const address = URL.createObjectURL(file);
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  // Browsers read it after the click, some of them once the user has said where to.
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
