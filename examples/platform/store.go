package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"time"

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
}

// tables are the merchant's books. A balance has a version; sent is the version that WeChat Pay has. lease keeps a card to one
// request at a time.
var tables = []string{
	`CREATE TABLE IF NOT EXISTS notifications (id TEXT PRIMARY KEY, body TEXT NOT NULL, done INTEGER NOT NULL DEFAULT 0)`,
	`CREATE TABLE IF NOT EXISTS members (card_id TEXT NOT NULL, user_card_code TEXT NOT NULL, brand_id TEXT NOT NULL, openid TEXT NOT NULL,
		state TEXT NOT NULL, balance BIGINT NOT NULL DEFAULT 0, version BIGINT NOT NULL DEFAULT 0, sent BIGINT NOT NULL DEFAULT 0,
		lease BIGINT NOT NULL DEFAULT 0, PRIMARY KEY (card_id, user_card_code))`,
	`CREATE TABLE IF NOT EXISTS ledger (id TEXT PRIMARY KEY, card_id TEXT NOT NULL, user_card_code TEXT NOT NULL, points BIGINT NOT NULL,
		balance BIGINT NOT NULL, at BIGINT NOT NULL)`,
	`CREATE TABLE IF NOT EXISTS invalidations (card_id TEXT NOT NULL, user_card_code TEXT NOT NULL, consent TEXT NOT NULL, at BIGINT NOT NULL,
		PRIMARY KEY (card_id, user_card_code))`,
	`CREATE TABLE IF NOT EXISTS decisions (job BIGINT PRIMARY KEY, kind TEXT NOT NULL, why TEXT NOT NULL, at BIGINT NOT NULL)`,
	`CREATE TABLE IF NOT EXISTS rates (operation TEXT PRIMARY KEY, turn BIGINT NOT NULL)`,
}

// openStore opens a database, a file of SQLite or an address of PostgreSQL, and makes the tables.
func openStore(ctx context.Context, address string) (*store, error) {
	s := &store{}
	var err error
	if s.postgres = strings.HasPrefix(address, "postgres"); s.postgres {
		s.now, s.greatest = "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)", "GREATEST"
		if s.db, err = sql.Open("pgx", address); err == nil {
			s.db.SetMaxOpenConns(30)
			s.driver = riverdatabasesql.New(s.db)
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
		return nil, fmt.Errorf("-database: %w", err)
	}
	return s, nil
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
	for _, table := range tables {
		if _, err := s.db.ExecContext(ctx, table); err != nil {
			return err
		}
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

// changed runs a statement and reports whether it changed a row.
func (s *store) changed(ctx context.Context, tx *sql.Tx, statement string, values ...any) (bool, error) {
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

// addMember adds a card to the books, or notes its state.
func (s *store) addMember(ctx context.Context, card membercard.UserCard, state membercard.UserCardState) error {
	_, err := s.changed(ctx, nil, `INSERT INTO members (card_id, user_card_code, brand_id, openid, state) VALUES (?1, ?2, ?3, ?4, ?5)
		ON CONFLICT (card_id, user_card_code) DO UPDATE SET state = ?5`, card.CardID, card.UserCardCode, card.BrandID, card.OpenID, string(state))
	return err
}

// member is a card in the books.
type member struct {
	cardID, code, brandID, openID string
	balance, version, sent, lease int64
}

const memberColumns = "card_id, user_card_code, brand_id, openid, balance, version, sent, lease"

// errNoMember says that the books have no such card.
var errNoMember = errors.New("there is no such card in the books")

func scanMember(row *sql.Row) (m member, err error) {
	err = row.Scan(&m.cardID, &m.code, &m.brandID, &m.openID, &m.balance, &m.version, &m.sent, &m.lease)
	if errors.Is(err, sql.ErrNoRows) {
		err = errNoMember
	}
	return m, err
}

// member reads a card, outside of a transaction where tx is nil.
func (s *store) member(ctx context.Context, tx *sql.Tx, cardID, code string) (member, error) {
	query := s.db.QueryRowContext
	if tx != nil {
		query = tx.QueryRowContext
	}
	return scanMember(query(ctx, s.sql("SELECT "+memberColumns+" FROM members WHERE card_id = ?1 AND user_card_code = ?2"), cardID, code))
}

// book changes a balance once for each id. added: it was not there before.
func (s *store) book(ctx context.Context, tx *sql.Tx, id, cardID, code string, points int64) (m member, added bool, err error) {
	m, err = scanMember(tx.QueryRowContext(ctx, s.sql("UPDATE members SET balance = balance + ?3, version = version + 1 WHERE card_id = ?1 AND user_card_code = ?2 RETURNING "+memberColumns), cardID, code, points))
	if err != nil {
		return m, false, err
	}
	added, err = s.changed(ctx, tx, "INSERT INTO ledger (id, card_id, user_card_code, points, balance, at) VALUES (?1, ?2, ?3, ?4, ?5, NOW) ON CONFLICT DO NOTHING", id, cardID, code, points, m.balance)
	return m, added, err
}

// lease is how long a card is kept to one request: longer than a request can be under way.
const lease = 30 * time.Second

// claim keeps a card to its caller. Without a row somebody else has it.
func (s *store) claim(ctx context.Context, cardID, code string) (member, error) {
	return scanMember(s.db.QueryRowContext(ctx, s.sql("UPDATE members SET lease = NOW + ?3 WHERE card_id = ?1 AND user_card_code = ?2 AND lease < NOW RETURNING "+memberColumns), cardID, code, lease.Milliseconds()))
}

// release ends a claim. sent is the version that WeChat Pay has now.
func (s *store) release(ctx context.Context, m member, sent int64) error {
	_, err := s.changed(ctx, nil, "UPDATE members SET lease = 0, sent = ?4 WHERE card_id = ?1 AND user_card_code = ?2 AND lease = ?3", m.cardID, m.code, m.lease, sent)
	return err
}

// Turns of the permitted rate.
const (
	spacing = 103 * time.Millisecond // below 10 a second, also when two requests arrive closer together than they were sent
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

// booked returns an entry of the ledger, if it is there.
func (s *store) booked(ctx context.Context, tx *sql.Tx, id string) (points int64, found bool, err error) {
	err = tx.QueryRowContext(ctx, s.sql("SELECT points FROM ledger WHERE id = ?1"), id).Scan(&points)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, false, nil
	}
	return points, err == nil, err
}
