package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	_ "github.com/go-sql-driver/mysql" // the drivers
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"
)

// lease is how long a claim holds: longer than the work on a notification takes, and shorter than the 60 s after which it comes
// again. So the next delivery finds the claim of a crashed process expired.
const lease = 40 * time.Second

// store remembers the notifications: claimed, or done. A claim outlives the process that made it, and not for long.
type store struct {
	db     *sql.DB
	insert string // of a new claim; no error where there is one
	number bool   // placeholders are $1, $2
	lease  time.Duration
}

// openStore opens a database by its address, and makes the table.
func openStore(ctx context.Context, address string) (*store, error) {
	s := &store{lease: lease, insert: "INSERT INTO notifications (id, lease_until, done) VALUES (?, ?, 0) ON CONFLICT DO NOTHING"}
	var err error
	switch scheme, rest, _ := strings.Cut(address, "://"); scheme {
	case "postgres", "postgresql":
		s.number = true
		s.db, err = sql.Open("pgx", address)
	case "mysql":
		s.insert = "INSERT IGNORE INTO notifications (id, lease_until, done) VALUES (?, ?, 0)"
		s.db, err = sql.Open("mysql", rest)
	default: // the path of a file
		s.db, err = sql.Open("sqlite", "file:"+address+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)")
		if err == nil {
			s.db.SetMaxOpenConns(1)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("-database: %w", err)
	}
	_, err = s.exec(ctx, "CREATE TABLE IF NOT EXISTS notifications (id VARCHAR(64) PRIMARY KEY, lease_until BIGINT NOT NULL, done INT NOT NULL)")
	if err != nil {
		_ = s.db.Close()
		return nil, fmt.Errorf("-database: %w", err)
	}
	return s, nil
}

// exec runs a statement and returns how many rows it changed.
func (s *store) exec(ctx context.Context, statement string, values ...any) (int64, error) {
	result, err := s.db.ExecContext(ctx, s.placeholders(statement), values...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func (s *store) placeholders(statement string) string {
	for i := 1; s.number && strings.Contains(statement, "?"); i++ {
		statement = strings.Replace(statement, "?", fmt.Sprint("$", i), 1)
	}
	return statement
}

// errUnderWay makes a copy that comes meanwhile come again.
var errUnderWay = errors.New("a copy of it is under way")

// claim takes a notification for this process, until a time. done: it was dealt with before.
func (s *store) claim(ctx context.Context, id string) (until int64, done bool, err error) {
	now := time.Now()
	until = now.Add(s.lease).UnixMilli()
	if added, err := s.exec(ctx, s.insert, id, until); err != nil || added == 1 {
		return until, false, err
	}
	taken, err := s.exec(ctx, "UPDATE notifications SET lease_until = ? WHERE id = ? AND done = 0 AND lease_until < ?", until, id, now.UnixMilli())
	if err != nil || taken == 1 {
		return until, false, err
	}
	err = s.db.QueryRowContext(ctx, s.placeholders("SELECT done FROM notifications WHERE id = ?"), id).Scan(&done)
	if err == nil && !done {
		err = errUnderWay
	}
	return 0, done, err
}

// finish ends a claim: done, or free for the next delivery. A claim that expired and was taken by another process is not free.
func (s *store) finish(ctx context.Context, id string, until int64, done bool) error {
	if done {
		_, err := s.exec(ctx, "UPDATE notifications SET done = 1 WHERE id = ?", id)
		return err
	}
	_, err := s.exec(ctx, "UPDATE notifications SET lease_until = 0 WHERE id = ? AND lease_until = ? AND done = 0", id, until)
	return err
}
