package main

import (
	"context"
	"database/sql"
	"encoding/json"
)

// list asks for rows.
func list[T any](ctx context.Context, s *store, scan func(row *sql.Rows) (T, error), query string, values ...any) (all []T, err error) {
	rows, err := s.db.QueryContext(ctx, s.sql(query), values...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}

// single scans a row of one column.
func single[T any](row *sql.Rows) (one T, err error) {
	err = row.Scan(&one)
	return one, err
}

// milliseconds is a time as the tables have it.
type milliseconds int64

// attention is a job that is in doubt, or for a person to decide.
type attention struct {
	Job              int64
	Kind, State, Why string
	Member           string // its id
	At               milliseconds
}

// attention lists what is in doubt and what is for a person: of one card, or of all.
func (s *store) attention(ctx context.Context, card cardName) ([]attention, error) {
	return list(ctx, s, func(row *sql.Rows) (a attention, err error) {
		err = row.Scan(&a.Job, &a.Kind, &a.State, &a.Why, &a.Member, &a.At)
		return a, err
	}, `SELECT a.job, a.kind, a.state, a.why, COALESCE(m.id, ''), a.at FROM attention a
		LEFT JOIN members m ON m.card_id = a.card_id AND m.user_card_code = a.user_card_code
		WHERE a.state <> ?1 AND (?2 = '' OR a.card_id = ?2 AND a.user_card_code = ?3) ORDER BY a.at LIMIT 200`, attentionDecided, card.CardID, card.UserCardCode)
}

// memberView is a card as a template reads it.
type memberView struct {
	ID, BrandID, CardID, UserCardCode, OpenID, State, Level string
	Balance                                                 int64
	PointsWait, DetailsWait                                 bool // WeChat Pay does not have them yet
}

func viewOf(m member) memberView {
	return memberView{
		ID: m.id, BrandID: m.brandID, CardID: m.CardID, UserCardCode: m.UserCardCode, OpenID: m.openID, State: m.state, Level: m.level,
		Balance: m.balance, PointsWait: m.pointsSent < m.pointsVersion, DetailsWait: m.detailsSent < m.detailsVersion,
	}
}

// search lists the cards of an openid or with a code.
func (s *store) search(ctx context.Context, q string) ([]memberView, error) {
	return list(ctx, s, func(row *sql.Rows) (memberView, error) {
		m, err := scanMember(row)
		return viewOf(m), err
	}, "SELECT "+memberColumns+" FROM members WHERE openid = ?1 OR user_card_code = ?1 ORDER BY card_id, user_card_code LIMIT 100", q)
}

// entry is one of the ledger.
type entry struct {
	ID              string
	Points, Balance int64
	At              milliseconds
}

// ledger lists the newest entries of a card.
func (s *store) ledger(ctx context.Context, card cardName) ([]entry, error) {
	return list(ctx, s, func(row *sql.Rows) (e entry, err error) {
		err = row.Scan(&e.ID, &e.Points, &e.Balance, &e.At)
		return e, err
	}, "SELECT id, points, balance, at FROM ledger WHERE card_id = ?1 AND user_card_code = ?2 ORDER BY at DESC, id LIMIT 100", card.CardID, card.UserCardCode)
}

// jobView is a job as a template reads it.
type jobView struct {
	ID          int64
	Kind, State string
	Attempt     int
	Error       string
}

// jobsOf lists the newest jobs about a card.
func (s *service) jobsOf(ctx context.Context, card cardName) (all []jobView, err error) {
	where := "args ->> '$.card_id' = ?1 AND args ->> '$.user_card_code' = ?2"
	values := []any{card.CardID, card.UserCardCode}
	if s.store.postgres { // by its index
		name, err := json.Marshal(card)
		if err != nil {
			return nil, err
		}
		where, values = "args @> CAST(?1 AS jsonb)", []any{string(name)}
	}
	ids, err := list(ctx, s.store, single[int64], "SELECT id FROM river_job WHERE "+where+" ORDER BY id DESC LIMIT 50", values...)
	for _, id := range ids {
		job, err := s.jobs.JobGet(ctx, id)
		if err != nil {
			continue // it was deleted meanwhile
		}
		view := jobView{ID: id, Kind: job.Kind, State: string(job.State), Attempt: job.Attempt}
		if len(job.Errors) > 0 {
			view.Error = job.Errors[len(job.Errors)-1].Error
		}
		all = append(all, view)
	}
	return all, err
}

// recordView is what somebody of the staff did.
type recordView struct {
	At                milliseconds
	Who, What, Member string
}

// records lists the newest.
func (s *store) records(ctx context.Context) ([]recordView, error) {
	return list(ctx, s, func(row *sql.Rows) (r recordView, err error) {
		err = row.Scan(&r.At, &r.Who, &r.What, &r.Member)
		return r, err
	}, "SELECT at, who, what, member FROM records ORDER BY at DESC, id LIMIT 500")
}

// count is a number of something.
type count struct {
	What, More string
	N          int
}

const countJobs = "SELECT kind, CAST(state AS TEXT), COUNT(*) FROM river_job GROUP BY kind, state ORDER BY 1, 2"

// counts asks for numbers: of what, of what state, and how many.
func (s *store) counts(ctx context.Context, query string) ([]count, error) {
	return list(ctx, s, func(row *sql.Rows) (c count, err error) {
		err = row.Scan(&c.What, &c.More, &c.N)
		return c, err
	}, query)
}
