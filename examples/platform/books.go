package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"time"

	"github.com/wechatpay-cards/membercard"
)

// cardName names a card.
type cardName struct {
	CardID       string `json:"card_id"`
	UserCardCode string `json:"user_card_code"`
}

func (c cardName) name() cardName { return c }

// member is a card in the books.
type member struct {
	cardName
	id, brandID, openID, state  string
	lease                       int64
	balance                     int64
	pointsVersion, pointsSent   int64
	level, phone                string // phone is encrypted, and here only until it is sent
	detailsVersion, detailsSent int64
}

const memberColumns = "card_id, user_card_code, id, brand_id, openid, state, lease, balance, points_version, points_sent, level, phone, details_version, details_sent"

// errNoMember says that the books have no such card.
var errNoMember = errors.New("there is no such card in the books")

func scanMember(row interface{ Scan(...any) error }) (m member, err error) {
	err = row.Scan(&m.CardID, &m.UserCardCode, &m.id, &m.brandID, &m.openID, &m.state, &m.lease, &m.balance, &m.pointsVersion, &m.pointsSent,
		&m.level, &m.phone, &m.detailsVersion, &m.detailsSent)
	if errors.Is(err, sql.ErrNoRows) {
		err = errNoMember
	}
	return m, err
}

// queryRow asks in a transaction, or outside of one where tx is nil.
func (s *store) queryRow(ctx context.Context, tx *sql.Tx, statement string, values ...any) *sql.Row {
	if tx != nil {
		return tx.QueryRowContext(ctx, s.sql(statement), values...)
	}
	return s.db.QueryRowContext(ctx, s.sql(statement), values...)
}

// member reads a card, outside of a transaction where tx is nil.
func (s *store) member(ctx context.Context, tx *sql.Tx, card cardName) (member, error) {
	return scanMember(s.queryRow(ctx, tx, "SELECT "+memberColumns+" FROM members WHERE card_id = ?1 AND user_card_code = ?2", card.CardID, card.UserCardCode))
}

// memberByID reads a card by the id that the books gave it: openid and code stand in no URL.
func (s *store) memberByID(ctx context.Context, id string) (member, error) {
	return scanMember(s.queryRow(ctx, nil, "SELECT "+memberColumns+" FROM members WHERE id = ?1", id))
}

// addMember adds a card to the books, or notes its state. A card that is invalid stays it.
func (s *store) addMember(ctx context.Context, tx *sql.Tx, card membercard.UserCard, state membercard.UserCardState) error {
	_, err := s.exec(ctx, tx, `INSERT INTO members (card_id, user_card_code, id, brand_id, openid, state, level) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
		ON CONFLICT (card_id, user_card_code) DO UPDATE SET state = ?6 WHERE members.state <> ?8`,
		card.CardID, card.UserCardCode, rand.Text(), card.BrandID, card.OpenID, string(state), card.Level, string(membercard.UserCardStateInvalid))
	return err
}

// book changes a balance once for each id. added: it was not there before.
func (s *store) book(ctx context.Context, tx *sql.Tx, id string, card cardName, points int64, note string) (m member, added bool, err error) {
	m, err = scanMember(s.queryRow(ctx, tx, "UPDATE members SET balance = balance + ?3, points_version = points_version + 1 WHERE card_id = ?1 AND user_card_code = ?2 RETURNING "+memberColumns,
		card.CardID, card.UserCardCode, points))
	if err != nil {
		return m, false, err
	}
	added, err = s.exec(ctx, tx, "INSERT INTO ledger (id, card_id, user_card_code, points, balance, note, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, NOW) ON CONFLICT DO NOTHING",
		id, card.CardID, card.UserCardCode, points, m.balance, note)
	return m, added, err
}

// booking is an entry of the ledger.
type booking struct {
	cardName
	points int64
	note   string
}

// booked returns an entry of the ledger, if it is there.
func (s *store) booked(ctx context.Context, tx *sql.Tx, id string) (b booking, found bool, err error) {
	err = s.queryRow(ctx, tx, "SELECT card_id, user_card_code, points, note FROM ledger WHERE id = ?1", id).Scan(&b.CardID, &b.UserCardCode, &b.points, &b.note)
	if errors.Is(err, sql.ErrNoRows) {
		return b, false, nil
	}
	return b, err == nil, err
}

// setDetails notes what a card's level and phone number are to be; what is empty stays as it is, unless it was refused and waits for a
// person.
func (s *store) setDetails(ctx context.Context, tx *sql.Tx, card cardName, level, phone string) error {
	changed, err := s.exec(ctx, tx, `UPDATE members SET level = CASE WHEN ?3 <> '' THEN ?3 WHEN `+refusedDetails+` THEN '' ELSE level END,
		phone = CASE WHEN ?4 <> '' THEN ?4 WHEN `+refusedDetails+` THEN '' ELSE phone END,
		details_version = details_version + 1 WHERE card_id = ?1 AND user_card_code = ?2`, card.CardID, card.UserCardCode, level, phone)
	if err == nil && !changed {
		err = errNoMember
	}
	return err
}

const refusedDetails = `EXISTS (SELECT 1 FROM attention a WHERE a.card_id = ?1 AND a.user_card_code = ?2 AND a.kind = 'details' AND a.state = 'open')`

// lease is how long a card is kept to one request: longer than a request can be under way.
const lease = 30 * time.Second

// claim keeps a card to its caller. Without a row somebody else has it.
func (s *store) claim(ctx context.Context, card cardName) (member, error) {
	return scanMember(s.queryRow(ctx, nil, "UPDATE members SET lease = NOW + ?3 WHERE card_id = ?1 AND user_card_code = ?2 AND lease < NOW RETURNING "+memberColumns,
		card.CardID, card.UserCardCode, lease.Milliseconds()))
}

// releasePoints ends a claim. sent is the version of the points that WeChat Pay has now.
func (s *store) releasePoints(ctx context.Context, m member, sent int64) error {
	_, err := s.exec(ctx, nil, "UPDATE members SET lease = 0, points_sent = ?4 WHERE card_id = ?1 AND user_card_code = ?2 AND lease = ?3",
		m.CardID, m.UserCardCode, m.lease, sent)
	return err
}

// releaseDetails ends a claim. sent is the version of the details that WeChat Pay has now; a phone number that was sent is kept no longer.
func (s *store) releaseDetails(ctx context.Context, m member, sent int64) error {
	_, err := s.exec(ctx, nil, `UPDATE members SET lease = 0, details_sent = ?4, phone = CASE WHEN details_version = ?4 THEN '' ELSE phone END
		WHERE card_id = ?1 AND user_card_code = ?2 AND lease = ?3`, m.CardID, m.UserCardCode, m.lease, sent)
	return err
}

// Attention is what somebody of the staff has to look at: a job in doubt, or one that a person has to decide.
const (
	attentionDoubt   = "doubt"
	attentionOpen    = "open"
	attentionDecided = "decided"
)

// setAttention puts a job before the staff.
func (s *store) setAttention(ctx context.Context, job int64, kind string, card cardName, state, why string) error {
	_, err := s.exec(ctx, nil, `INSERT INTO attention (job, kind, card_id, user_card_code, state, why, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, NOW)
		ON CONFLICT (job) DO UPDATE SET state = ?5, why = ?6, at = NOW`, job, kind, card.CardID, card.UserCardCode, state, why)
	return err
}

// isOpen reports whether a job waits for a person.
func (s *store) isOpen(ctx context.Context, job int64) (open bool, err error) {
	err = s.queryRow(ctx, nil, "SELECT COUNT(*) > 0 FROM attention WHERE job = ?1 AND state = ?2", job, attentionOpen).Scan(&open)
	return open, err
}

// settle ends that a job is in doubt, now that it was done. It also ends that an earlier job of its kind about the card is before
// the staff, for what that wanted to send is older.
func (s *store) settle(ctx context.Context, job int64, kind string, card cardName) error {
	_, err := s.exec(ctx, nil, `UPDATE attention SET state = ?1 WHERE state <> ?1 AND (job = ?2 OR kind = ?3 AND card_id = ?4 AND user_card_code = ?5
		AND card_id <> '' AND job < ?2 AND kind IN ('balance', 'details'))`, attentionDecided, job, kind, card.CardID, card.UserCardCode)
	return err
}

// decide ends that a job is before the staff; false: another was quicker.
func (s *store) decide(ctx context.Context, tx *sql.Tx, job int64) (bool, error) {
	return s.exec(ctx, tx, "UPDATE attention SET state = ?2 WHERE job = ?1 AND state = ?3", job, attentionDecided, attentionOpen)
}

// record writes down who of the staff did what, about which member or none.
func (s *store) record(ctx context.Context, tx *sql.Tx, who, what, member string) error {
	_, err := s.exec(ctx, tx, "INSERT INTO records (id, at, who, what, member) VALUES (?1, NOW, ?2, ?3, ?4)", rand.Text(), who, what, member)
	return err
}
