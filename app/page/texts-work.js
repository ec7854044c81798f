// Texts of a reader's own work: queries and collections.

/** @type {Intl.DateTimeFormatOptions} */
const TIME = { year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
/** @type {Intl.DateTimeFormatOptions} */
const DAY = { year: "numeric", month: "short", day: "numeric" };

export const WORK = {
  link: "My work",
  heading: "My work",
  moment: (text) => new Date(text).toLocaleString("en-GB", TIME),
  day: (text) => new Date(text).toLocaleString("en-GB", DAY),
  cancel: "Not now",
  save: "Save",

  collections: "Collections",
  collectionsHint: "Cases and queries that stay, with notes: teaching files, cases to discuss. They are yours until you share them.",
  none: "There is no collection yet. Begin one here, or with “Add to collection” above an answer, “Collect” under a case.",
  unreadable: "Cannot be read: it was sealed with another store's key",
  entries: (count) => (count === 1 ? "1 entry" : `${count} entries`),
  shared: "shared",
  create: "New collection",

  queries: "Recent queries",
  queriesHint: "The service forgets these by itself. Add one to a collection to keep it with its image.",
  noQueries: "The service remembers no query of yours.",
  until: (moment) => `until ${moment}`,
  noImage: "The service stopped since, and has forgotten the image.",
  inMemory: "until the service stops",
  query: (moment) => `Query of ${moment}`,
  ofCase: (id) => `Past case ${id}`,
  forget: "Forget",
  forgetLabel: (moment) => `Forget the query of ${moment}`,
  forgotten: "The query is forgotten.",

  name: "Name",
  note: "Note",
  private: "Write nothing that tells who the patient is: no name, number, date of birth or rare circumstance.",
  edit: "Edit",
  editNote: (what) => `Edit the note on ${what}`,
  share: "Share",
  unshare: "Stop sharing",
  shareText: "Every reader with a key can open this page's address, see all that is in the collection, and change nothing.",
  nowShared: "Shared. Send this page's address to your colleague.",
  notShared: "No longer shared.",
  colleague: "Shared by a colleague. You can read it; only its owner changes it.",
  remove: "Delete",
  removeConfirm: (name) => `Delete “${name}”?`,
  removeEffect: "Its notes are deleted, and the images of queries that are in no other collection. Past cases stay.",
  removed: "The collection is deleted.",
  empty: "Nothing is in this collection yet. Open a query or a case, and choose “Add to collection”, or “Collect” under a case.",
  open: (what) => `Open ${what}`,
  takeOut: "Take out",
  takeOutLabel: (what) => `Take ${what} out of this collection`,
  kept: (day) => `kept until ${day}`,
  hidden: (count) => `${count} more that your key may not see, or that cannot be read.`,
  conditions: "with its conditions",

  collect: "Add to collection",
  collectShort: "Collect",
  collectCase: (rank) => `Collect case ${rank}`, // begins as the button reads
  which: "Collection",
  newOne: "a new one",
  keeps: "The service keeps this image from now on, sealed, until you take it out, and no longer than its time limit. Without this it keeps no image of a query for good.",
  add: "Add",
  added: (name) => `Added to “${name}”.`,
};
