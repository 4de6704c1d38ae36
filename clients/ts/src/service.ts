import type { DescMessage, DescMethodUnary, MessageShape } from "@bufbuild/protobuf";
import type { CallOptions, Calls } from "./calls.js";
import { Pages } from "./pages.js";
import type { Input, Plain } from "./types.js";

type In<I extends DescMessage, R extends string> = Input<MessageShape<I>, R>;
type Out<O extends DescMessage> = Plain<MessageShape<O>>;
type Field<I extends DescMessage> = keyof In<I, never> & string;
/** Item is the item of a list of a response. */
type Item<O extends DescMessage, K extends keyof Out<O>> = Out<O>[K] extends (infer T)[] ? T : never;

/** Service makes the methods of a service of the API. Each method names the fields that its request needs. */
export class Service {
  constructor(protected readonly calls: Calls) {}

  /** repeatable makes a method whose calls are safe to give again. */
  protected repeatable<I extends DescMessage, O extends DescMessage, R extends Field<I> = never>(method: DescMethodUnary<I, O>, ..._required: R[]) {
    return (input: In<I, R>, options?: CallOptions): Promise<Out<O>> => this.calls.repeat(method, input as object, options);
  }

  /** part makes a repeatable method that returns one field of the response. */
  protected part<I extends DescMessage, O extends DescMessage, K extends keyof Out<O>, R extends Field<I> = never>(
    method: DescMethodUnary<I, O>,
    field: K,
    ..._required: R[]
  ) {
    return async (input: In<I, R>, options?: CallOptions): Promise<NonNullable<Out<O>[K]>> =>
      (await this.calls.repeat(method, input as object, options))[field]!;
  }

  /** done makes a repeatable method that returns nothing. */
  protected done<I extends DescMessage, O extends DescMessage, R extends Field<I> = never>(method: DescMethodUnary<I, O>, ..._required: R[]) {
    return async (input: In<I, R>, options?: CallOptions): Promise<void> => {
      await this.calls.repeat(method, input as object, options);
    };
  }

  /** once makes a method whose calls are not safe to give again. */
  protected once<I extends DescMessage, O extends DescMessage, R extends Field<I> = never>(method: DescMethodUnary<I, O>, ..._required: R[]) {
    return (input: In<I, R>, options?: CallOptions): Promise<Out<O>> => this.calls.once(method, input as object, options);
  }

  /** pages makes a method that returns a list of pages, whose items are in one field of the response. */
  protected pages<I extends DescMessage, O extends DescMessage, K extends keyof Out<O>, R extends Field<I> = never>(
    method: DescMethodUnary<I, O>,
    field: K,
    ..._required: R[]
  ) {
    return (input: In<I, R>, options?: CallOptions): Pages<Item<O, K>> => {
      const request = input as { pageToken?: string; afterSeq?: number; oldest?: boolean };
      const hasStart = method.input.fields.some((field) => field.localName === "beforeSeq");
      return new Pages(
        async (pageToken) => {
          const response: unknown = await this.calls.repeat(method, pageToken === undefined ? request : { ...request, pageToken }, options);
          const page = response as { nextPageToken: string } & Record<K, Item<O, K>[]>;
          return { items: page[field], nextPageToken: page.nextPageToken };
        },
        hasStart && request.afterSeq === undefined && !request.oldest,
      );
    };
  }
}
