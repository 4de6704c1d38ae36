/** Page is one page of a list. */
export interface Page<T> {
  /** The items, in the order of the method. */
  items: T[];
  /** The pageToken of the next page. "" if this is the last one. */
  nextPageToken: string;
}

/**
 * Pages is a list that is read page by page. Each loop over it begins at its first page:
 *
 *     for await (const message of client.messages.list({ chatId: "garden" })) { … }
 *
 * A list that begins with the last page, and goes back from there, gives its items newest first.
 */
export class Pages<T> implements AsyncIterable<T> {
  /** get returns the page of a token. Backward lists return the items of a page oldest first. */
  constructor(
    private readonly get: (pageToken?: string) => Promise<Page<T>>,
    private readonly backward = false,
  ) {}

  /** page returns the first page, or the one that the request's pageToken names. */
  page(): Promise<Page<T>> {
    return this.get();
  }

  /** pages gives page after page. */
  async *pages(): AsyncGenerator<Page<T>, void, undefined> {
    for (let token: string | undefined; token !== ""; ) {
      const page: Page<T> = await this.get(token);
      yield page;
      token = page.nextPageToken;
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    for await (const { items } of this.pages()) {
      yield* this.backward ? items.reverse() : items;
    }
  }

  /** all returns the items of all pages. */
  async all(): Promise<T[]> {
    const items: T[] = [];
    for await (const item of this) {
      items.push(item);
    }
    return items;
  }
}
