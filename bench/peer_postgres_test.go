package bench

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"chatcore/tests/postgrestest"
)

// postgresSchema holds messages by chat and seq, members, and the outbox of messages that are not handled yet.
const postgresSchema = `
create table chats (id uuid primary key, seq bigint not null) with (fillfactor = 50);
create table members (chat uuid, name text, primary key (chat, name));
create table messages (chat uuid, seq bigint, id uuid not null, body json not null, primary key (chat, seq), unique (chat, id));
create table outbox (position bigint generated always as identity primary key, chat uuid not null, seq bigint not null);
`

// postgresSend stores a message and its entry of the outbox if the sender is a member: one statement, so one transaction and one round trip.
const postgresSend = `
with head as (
	update chats set seq = seq + 1 where id = $1 and exists (select from members where chat = $1 and name = $2) returning seq
), stored as (
	insert into messages (chat, seq, id, body) select $1, seq, $3, $4 from head returning chat, seq
)
insert into outbox (chat, seq) select chat, seq from stored`

const (
	postgresNext = `select o.position, m.body from outbox o join messages m using (chat, seq) order by o.position limit 500 for update of o skip locked`
	postgresDone = `delete from outbox where position = any($1)`
	postgresLive = `select pg_notify('messages', $1)`
)

// postgresOutbox is a database with an outbox, as its senders see it.
type postgresOutbox struct {
	b         *testing.B
	url       string
	pool      *pgxpool.Pool
	committed chan string // messages that wait for their notification
}

// postgresPeer stores messages in PostgreSQL. A relay handles the outbox in order, and a listener receives notifications, which the sender's process sends
// in batches after the commits: a notification within the transaction would make all commits take turns. Unless onDisk is set, a commit does not wait for
// the disk.
func postgresPeer(b *testing.B, n int, onDisk bool) *peer {
	b.Helper()
	args := []string{"-c", "shared_buffers=256MB", "-c", "max_wal_size=4GB"}
	if !onDisk {
		args = append(args, "-c", "synchronous_commit=off")
	}
	server := postgrestest.Start(b, args...)
	config, err := pgxpool.ParseConfig(server.URL())
	if err != nil {
		b.Fatal(err)
	}
	config.MaxConns = 64
	p := &postgresOutbox{b: b, url: server.URL(), committed: make(chan string, 4096)}
	if p.pool, err = pgxpool.NewWithConfig(b.Context(), config); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(p.pool.Close)
	p.exec(postgresSchema)
	p.exec(`insert into chats select ('0197b8a0-1c2d-7e3f-8a4b-' || lpad(i::text, 12, '0'))::uuid, 0 from generate_series(0, $1::int - 1) i`, n)
	p.exec(`insert into members select id, 'ada' from chats`)
	p.exec(`vacuum analyze`)
	p.background(p.notify)
	return &peer{
		name: "PostgreSQL outbox", onDisk: onDisk, durable: true,
		send:   p.send,
		cpu:    func() float64 { return processCPU(b, server.Pid()) },
		stored: p.stored,
		deliver: func(handled, heard *arrivals) {
			p.background(func(ctx context.Context) error { return p.relay(ctx, handled) })
			p.background(func(ctx context.Context) error { return p.listen(ctx, heard) })
		},
	}
}

func (p *postgresOutbox) exec(statement string, args ...any) {
	p.b.Helper()
	if _, err := p.pool.Exec(p.b.Context(), statement, args...); err != nil {
		p.b.Fatal(err)
	}
}

// background runs a function until the benchmark ends.
func (p *postgresOutbox) background(do func(ctx context.Context) error) {
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := do(ctx); err != nil && ctx.Err() == nil {
			p.b.Error(err)
		}
	})
	p.b.Cleanup(func() {
		stop()
		running.Wait()
	})
}

// connect returns a connection whose commits do not wait for the disk: nothing that it changes has to survive a crash.
func (p *postgresOutbox) connect(ctx context.Context) (*pgx.Conn, error) {
	conn, err := pgx.Connect(ctx, p.url)
	if err != nil {
		return nil, err
	}
	_, err = conn.Exec(ctx, "set synchronous_commit = off")
	return conn, err
}

func (p *postgresOutbox) send(ctx context.Context, chat int, id string) error {
	body := string(encodedMessage(chat, id))
	done, err := p.pool.Exec(ctx, postgresSend, chatID(chat), "ada", id, body)
	if err != nil {
		return err
	}
	if done.RowsAffected() == 0 {
		return errors.New("the sender is no member")
	}
	p.committed <- body
	return nil
}

// notify sends the notifications of committed messages.
func (p *postgresOutbox) notify(ctx context.Context) error {
	conn, err := p.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	for {
		var batch pgx.Batch
		select {
		case body := <-p.committed:
			batch.Queue(postgresLive, body)
		case <-ctx.Done():
			return nil
		}
		for more := true; more && batch.Len() < 256; {
			select {
			case body := <-p.committed:
				batch.Queue(postgresLive, body)
			default:
				more = false
			}
		}
		if err := conn.SendBatch(ctx, &batch).Close(); err != nil {
			return err
		}
	}
}

// listen reports notifications.
func (p *postgresOutbox) listen(ctx context.Context, heard *arrivals) error {
	conn, err := p.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, "listen messages"); err != nil {
		return err
	}
	for {
		message, err := conn.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		heard.add(idIn([]byte(message.Payload)))
	}
}

// relay handles the outbox, woken by notifications and ten times a second.
func (p *postgresOutbox) relay(ctx context.Context, handled *arrivals) error {
	conn, err := p.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, "listen messages"); err != nil {
		return err
	}
	for {
		n, err := relayOnce(ctx, conn, handled)
		if err != nil {
			return err
		}
		if n > 0 {
			continue
		}
		wait, stop := context.WithTimeout(ctx, 100*time.Millisecond)
		_, err = conn.WaitForNotification(wait)
		stop()
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
	}
}

// relayOnce handles the next messages of the outbox in one transaction, and returns how many there were.
func relayOnce(ctx context.Context, conn *pgx.Conn, handled *arrivals) (n int, err error) {
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, postgresNext)
		if err != nil {
			return err
		}
		var positions []int64
		var position int64
		var body string
		if _, err := pgx.ForEachRow(rows, []any{&position, &body}, func() error {
			handled.add(idIn([]byte(body)))
			positions = append(positions, position)
			return nil
		}); err != nil {
			return err
		}
		n = len(positions)
		if n > 0 {
			_, err = tx.Exec(ctx, postgresDone, positions)
		}
		return err
	})
	return n, err
}

// stored returns the size of the database after vacuum, with an empty outbox.
func (p *postgresOutbox) stored() float64 {
	p.b.Helper()
	p.exec(`truncate outbox`)
	p.exec(`vacuum`)
	var size float64
	if err := p.pool.QueryRow(p.b.Context(), `select pg_database_size(current_database())::float8`).Scan(&size); err != nil {
		p.b.Fatal(err)
	}
	return size
}
