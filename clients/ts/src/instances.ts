import type { Transport } from "@connectrpc/connect";

/** Instances holds the transports of the server's instances. Calls use one of them until it fails, and then the next. */
export class Instances {
  private index = 0;

  constructor(private readonly transports: readonly Transport[]) {}

  /** current is the transport that calls use now. */
  get current(): Transport {
    return this.transports[this.index]!;
  }

  /** currentIndex is the place of the current transport, from 0. */
  get currentIndex(): number {
    return this.index;
  }

  /** failed switches to the next instance if the one that failed is still the current one. */
  failed(transport: Transport): void {
    if (transport === this.current) {
      this.index = (this.index + 1) % this.transports.length;
    }
  }
}
