import type { Event } from "@chatcore/client";
import pg from "pg";

const schema = `
  create table if not exists effects (
    id         bigserial primary key,
    subscriber text   not null,
    event_id   text   not null,
    chat_id    text   not null,
    seq        bigint not null,
    unique (subscriber, event_id)
  );
  create table if not exists last_messages (
    subscriber text   not null,
    chat_id    text   not null,
    epoch      bigint not null,
    content    text,
    primary key (subscriber, chat_id)
  );`;

/** Late is thrown for a delivery of an owner that another one has replaced. */
export class Late extends Error {}

/** Effects makes the effects of events in PostgreSQL. Each subscriber, which is one group of chatcore, has its own. */
export class Effects {
  private readonly pool: pg.Pool;

  constructor(
    url: string,
    private readonly subscriber: string,
  ) {
    this.pool = new pg.Pool({ connectionString: url });
    this.pool.on("error", (error) => console.error(error.message)); // of an idle connection; the pool opens another one
  }

  async createTables(): Promise<void> {
    await this.pool.query(`begin; select pg_advisory_xact_lock(20); ${schema} commit`);
  }

  /** make makes the effects of an event, all or none. It returns false if they were made before, and throws Late if the epoch is lower than the chat's last one. */
  async make(event: Event, epoch: number): Promise<boolean> {
    const client = await this.pool.connect();
    let failure: Error | undefined;
    try {
      await client.query("begin");
      await this.fence(client, event.chatId, epoch);
      const isFirst = await this.insert(client, event);
      if (isFirst && event.messageNew) {
        await client.query("update last_messages set content = $3 where subscriber = $1 and chat_id = $2", [this.subscriber, event.chatId, event.messageNew.content]);
      }
      await client.query("commit");
      return isFirst;
    } catch (error) {
      failure = error as Error;
      throw error;
    } finally {
      client.release(failure); // closes the connection of a transaction that failed
    }
  }

  async close(): Promise<void> {
    await this.pool.end();
  }

  /** fence locks the row of a chat until the transaction ends, and notes the epoch. A lower epoch than the noted one changes no row. */
  private async fence(client: pg.PoolClient, chatId: string, epoch: number): Promise<void> {
    const { rowCount } = await client.query(
      `insert into last_messages as last (subscriber, chat_id, epoch) values ($1, $2, $3)
       on conflict (subscriber, chat_id) do update set epoch = excluded.epoch where last.epoch <= excluded.epoch`,
      [this.subscriber, chatId, epoch],
    );
    if (rowCount === 0) {
      throw new Late(`epoch ${epoch} of chat ${chatId} is over`);
    }
  }

  /** insert inserts the row of an event, and returns whether there was none. */
  private async insert(client: pg.PoolClient, { id, chatId, seq }: Event): Promise<boolean> {
    const { rowCount } = await client.query(
      "insert into effects (subscriber, event_id, chat_id, seq) values ($1, $2, $3, $4) on conflict do nothing",
      [this.subscriber, id, chatId, seq],
    );
    return rowCount === 1;
  }
}
