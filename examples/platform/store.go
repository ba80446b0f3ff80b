package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	_ "github.com/jackc/pgx/v5/stdlib" // the drivers
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverdatabasesql"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	_ "modernc.org/sqlite"

	"github.com/wechatpay-cards/membercard"
)

// store is the database: the merchant's books, and the jobs of River in the same transactions.
type store struct {
	db       *sql.DB
	driver   riverdriver.Driver[*sql.Tx]
	postgres bool
	now      string // the database's clock in milliseconds: the machines need not agree
	greatest string // the function
	hashCost int    // of bcrypt
}

// migrations are the steps of the schema, in order; one that was released is never changed. In members each part that WeChat Pay has, points
// and details, has a version; sent is the version that it has. lease keeps a card to one request at a time.
var migrations = [][]string{
	{
		`CREATE TABLE notifications (id TEXT PRIMARY KEY, body TEXT NOT NULL, tried INTEGER NOT NULL, done INTEGER NOT NULL DEFAULT 0, at BIGINT NOT NULL)`,
		`CREATE TABLE members (card_id TEXT NOT NULL, user_card_code TEXT NOT NULL, id TEXT NOT NULL UNIQUE, brand_id TEXT NOT NULL,
			openid TEXT NOT NULL, state TEXT NOT NULL, lease BIGINT NOT NULL DEFAULT 0,
			balance BIGINT NOT NULL DEFAULT 0, points_version BIGINT NOT NULL DEFAULT 0, points_sent BIGINT NOT NULL DEFAULT 0,
			level TEXT NOT NULL DEFAULT '', phone TEXT NOT NULL DEFAULT '',
			details_version BIGINT NOT NULL DEFAULT 0, details_sent BIGINT NOT NULL DEFAULT 0,
			PRIMARY KEY (card_id, user_card_code))`,
		`CREATE INDEX members_openid ON members (openid)`,
		`CREATE INDEX members_code ON members (user_card_code)`,
		`CREATE TABLE ledger (id TEXT PRIMARY KEY, card_id TEXT NOT NULL, user_card_code TEXT NOT NULL, points BIGINT NOT NULL,
			balance BIGINT NOT NULL, note TEXT NOT NULL, at BIGINT NOT NULL)`,
		`CREATE INDEX ledger_card ON ledger (card_id, user_card_code, at)`,
		`CREATE TABLE invalidations (card_id TEXT NOT NULL, user_card_code TEXT NOT NULL, consent TEXT NOT NULL, at BIGINT NOT NULL,
			PRIMARY KEY (card_id, user_card_code))`,
		`CREATE TABLE attention (job BIGINT PRIMARY KEY, kind TEXT NOT NULL, card_id TEXT NOT NULL, user_card_code TEXT NOT NULL,
			state TEXT NOT NULL, why TEXT NOT NULL, at BIGINT NOT NULL)`,
		`CREATE TABLE rates (operation TEXT PRIMARY KEY, turn BIGINT NOT NULL)`,
		`CREATE TABLE imports (id TEXT PRIMARY KEY, name TEXT NOT NULL, brand_id TEXT NOT NULL, card_id TEXT NOT NULL,
			total BIGINT NOT NULL, state TEXT NOT NULL, why TEXT NOT NULL DEFAULT '', at BIGINT NOT NULL)`,
		`CREATE TABLE import_rows (import_id TEXT NOT NULL, n BIGINT NOT NULL, openid TEXT NOT NULL, user_card_code TEXT NOT NULL,
			level TEXT NOT NULL, phone TEXT NOT NULL, state TEXT NOT NULL, why TEXT NOT NULL DEFAULT '', tries BIGINT NOT NULL DEFAULT 0, lease BIGINT NOT NULL DEFAULT 0, at BIGINT NOT NULL DEFAULT 0,
			PRIMARY KEY (import_id, n))`,
		`CREATE INDEX import_rows_openid ON import_rows (openid)`,
		`CREATE TABLE staff (name TEXT PRIMARY KEY, hash TEXT NOT NULL, role TEXT NOT NULL, version BIGINT NOT NULL DEFAULT 0,
			must_change INTEGER NOT NULL DEFAULT 1, disabled INTEGER NOT NULL DEFAULT 0, failed BIGINT NOT NULL DEFAULT 0,
			next_try BIGINT NOT NULL DEFAULT 0)`,
		`CREATE TABLE sessions (token TEXT PRIMARY KEY, data TEXT NOT NULL, expires BIGINT NOT NULL)`,
		`CREATE TABLE records (id TEXT PRIMARY KEY, at BIGINT NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL, member TEXT NOT NULL)`,
		`CREATE INDEX records_at ON records (at)`,
	},
}

// openStore opens a database, a file of SQLite or an address of PostgreSQL, and makes the tables.
func openStore(ctx context.Context, address string, logger *slog.Logger) (*store, error) {
	s := &store{hashCost: 12} // a quarter of a second
	var err error
	if s.postgres = strings.HasPrefix(address, "postgres"); s.postgres {
		s.now, s.greatest = "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)", "GREATEST"
		if s.db, err = sql.Open("pgx", address); err == nil {
			s.db.SetMaxOpenConns(30)
			s.driver = riverdatabasesql.New(s.db)
			err = s.reach(ctx, logger)
		}
	} else {
		s.now, s.greatest = "CAST(unixepoch('subsec') * 1000 AS INTEGER)", "MAX"
		if s.db, err = sql.Open("sqlite", "file:"+address+"?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)"); err == nil {
			s.db.SetMaxOpenConns(1)
			s.driver = riversqlite.New(s.db)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("-database: %w", err)
	}
	if err := s.migrate(ctx); err != nil {
		_ = s.db.Close()
		if !s.postgres { // an address of PostgreSQL may hold a password
			err = fmt.Errorf("%s: %w", address, err)
		}
		return nil, fmt.Errorf("-database: %w", err)
	}
	return s, nil
}

// reach waits for a database that is being restarted.
func (s *store) reach(ctx context.Context, logger *slog.Logger) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		err := s.db.PingContext(ctx)
		refused, answered := errors.AsType[*pgconn.PgError](err)
		if err == nil || answered && !strings.HasPrefix(refused.Code, "57P") {
			return err
		}
		logger.WarnContext(ctx, "the database cannot be reached; trying for up to a minute", "error", err)
		select {
		case <-time.After(5 * time.Second):
		case <-ctx.Done():
			return err
		}
	}
}

func (s *store) migrate(ctx context.Context) error {
	if s.postgres { // one machine at a time
		connection, err := s.db.Conn(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = connection.Close() }()
		const lock = 4015434570
		if _, err := connection.ExecContext(ctx, "SELECT pg_advisory_lock($1)", lock); err != nil {
			return err
		}
		defer func() {
			_, _ = connection.ExecContext(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock($1)", lock)
		}()
	}
	err := s.inTx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS migrations (step INTEGER PRIMARY KEY)"); err != nil {
			return err
		}
		var done int
		if err := tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM migrations").Scan(&done); err != nil {
			return err
		}
		if done > len(migrations) {
			return errors.New("the database is of a newer version of this program")
		}
		for step := done; step < len(migrations); step++ {
			for _, statement := range migrations[step] {
				if _, err := tx.ExecContext(ctx, statement); err != nil {
					return err
				}
			}
			if _, err := s.exec(ctx, tx, "INSERT INTO migrations (step) VALUES (?1)", step); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	migrator, err := rivermigrate.New(s.driver, nil)
	if err != nil {
		return err
	}
	_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
	return err
}

var placeholder = regexp.MustCompile(`\?(\d+)`)

// sql writes a statement for the database: ?1 is a value, NOW its clock, GREATEST the larger of two.
func (s *store) sql(statement string) string {
	statement = strings.NewReplacer("NOW", s.now, "GREATEST", s.greatest).Replace(statement)
	if s.postgres {
		statement = placeholder.ReplaceAllString(statement, "$$$1")
	}
	return statement
}

// inTx runs f in a transaction.
func (s *store) inTx(ctx context.Context, f func(tx *sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// exec runs a statement and reports whether it changed a row.
func (s *store) exec(ctx context.Context, tx *sql.Tx, statement string, values ...any) (bool, error) {
	run := s.db.ExecContext
	if tx != nil {
		run = tx.ExecContext
	}
	result, err := run(ctx, s.sql(statement), values...)
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n > 0, err
}

// Turns of the permitted rate.
const (
	spacing = 104 * time.Millisecond // below 10 a second, also when two requests arrive closer together than they were sent
	ahead   = 300 * time.Millisecond // how far ahead a turn is given: what a process that is killed can lose
	patient = 8 * time.Second        // a job that finds no turn for so long comes again
)

var errBusy = errors.New("the permitted rate is used up for the next seconds")

// throttle is the membercard.Config.Throttle of all workers on all machines: the next free turn, in the database and by its clock.
func (s *store) throttle(ctx context.Context, operation membercard.Operation) error {
	for end := time.Now().Add(patient); time.Now().Before(end); {
		var wait int64
		err := s.db.QueryRowContext(ctx, s.sql(`INSERT INTO rates (operation, turn) VALUES (?1, NOW)
			ON CONFLICT (operation) DO UPDATE SET turn = GREATEST(rates.turn + ?2, NOW) WHERE rates.turn < NOW + ?3 RETURNING turn - NOW`),
			string(operation), spacing.Milliseconds(), ahead.Milliseconds()).Scan(&wait)
		taken := !errors.Is(err, sql.ErrNoRows)
		switch {
		case !taken:
			wait = 100 + rand.Int64N(100)
		case err != nil:
			return err
		}
		select {
		case <-time.After(time.Duration(wait) * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
		if taken {
			return nil
		}
	}
	return errBusy
}
