package main

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/riverqueue/river"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/examples/bulk/rows"
)

// States of an import and of its rows. A row that is begun may have been carried out.
const (
	importLoading = "loading"
	importRunning = "running"
	importStopped = "stopped"

	rowWaiting = "waiting"
	rowBegun   = "begun"
	rowDone    = "done"
	rowRefused = "refused"
	rowDeleted = "deleted" // the user deleted the card, and can never be given it again
)

// importJob imports a row of a file.
type importJob struct {
	cardName
	Import string `json:"import"`
	Row    int    `json:"row"`
}

// Kind names the job.
func (importJob) Kind() string { return "import" }

// importFile is a file of members that was looked at.
type importFile struct {
	id, name, brandID, cardID string
	members                   []rows.Member
}

// readImport looks at a file of members: openid, user_card_code, level, phone_number. A file that a spreadsheet damaged is refused as a
// whole, with the number of the row.
func readImport(name, brandID, cardID string, input []byte) (*importFile, error) {
	if brandID == "" || cardID == "" {
		return nil, errors.New("the brand and the card template are required")
	}
	if err := rows.CheckUTF8(input); err != nil {
		return nil, err
	}
	members, err := rows.Parse(input)
	if err == nil {
		err = rows.Check(members)
	}
	if err == nil {
		err = checkMembers(members)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %s", brandID, cardID, input))
	return &importFile{id: hex.EncodeToString(sum[:12]), name: name, brandID: brandID, cardID: cardID, members: members}, err
}

// checkMembers refuses a file in which a row lacks what every card has.
func checkMembers(members []rows.Member) error {
	if len(members) == 0 {
		return errors.New("there is no row")
	}
	for i, m := range members {
		if m.OpenID == "" || m.UserCardCode == "" {
			return fmt.Errorf("row %d has no openid or no user_card_code", i+1)
		}
	}
	return nil
}

// startImport stores the rows of a file with their jobs. The same file again is the same import: what was not stored is, and an import
// that was stopped goes on. A user who is a member already, or deleted the card, is not tried.
func (s *service) startImport(ctx context.Context, file *importFile, who string) error {
	var before string
	err := s.store.queryRow(ctx, nil, "SELECT state FROM imports WHERE id = ?1", file.id).Scan(&before)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	_, err = s.store.exec(ctx, nil, `INSERT INTO imports (id, name, brand_id, card_id, total, state, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, NOW)
		ON CONFLICT (id) DO UPDATE SET state = ?6, why = '', at = NOW`, file.id, file.name, file.brandID, file.cardID, len(file.members), importLoading)
	if err == nil {
		err = s.store.record(ctx, nil, who, "导入 "+file.name, "")
	}
	const chunk, pause = 100, 10 * time.Millisecond // of transactions: others get in between
	for at := 0; err == nil && at < len(file.members); at += chunk {
		time.Sleep(pause)
		err = s.store.inTx(ctx, func(tx *sql.Tx) error {
			var jobs []river.InsertManyParams
			for n := at; n < min(at+chunk, len(file.members)); n++ {
				m := file.members[n]
				state, added, err := s.addRow(ctx, tx, file, n+1, m)
				if err != nil {
					return err
				}
				if (added || before == importStopped) && (state == rowWaiting || state == rowBegun) { // else it has a job

					args := importJob{cardName{file.cardID, m.UserCardCode}, file.id, n + 1}
					jobs = append(jobs, river.InsertManyParams{Args: args, InsertOpts: &river.InsertOpts{Queue: queueImports}})
				}
			}
			if len(jobs) == 0 {
				return nil
			}
			_, err := s.jobs.InsertManyFastTx(ctx, tx, jobs)
			return err
		})
	}
	if err != nil {
		return err
	}
	_, err = s.store.exec(ctx, nil, "UPDATE imports SET state = ?2 WHERE id = ?1 AND state = ?3", file.id, importRunning, importLoading)
	return err
}

// addRow adds a row, where it is not there, and returns its state.
func (s *service) addRow(ctx context.Context, tx *sql.Tx, file *importFile, n int, m rows.Member) (state string, added bool, err error) {
	phone, err := s.keys.encryptPhone(m.PhoneNumber)
	if err != nil {
		return "", false, fmt.Errorf("row %d: phone_number: %w", n, err)
	}
	added, err = s.store.exec(ctx, tx, `INSERT INTO import_rows (import_id, n, openid, user_card_code, level, phone, state) VALUES (?1, ?2, ?3, ?4, ?5, ?6,
		CASE WHEN EXISTS (SELECT 1 FROM members WHERE card_id = ?7 AND user_card_code = ?4 AND openid = ?3) THEN '`+rowDone+`'
		WHEN EXISTS (SELECT 1 FROM import_rows r JOIN imports i ON i.id = r.import_id WHERE r.openid = ?3 AND r.state = '`+rowDeleted+`' AND i.card_id = ?7)
		THEN '`+rowDeleted+`' ELSE '`+rowWaiting+`' END) ON CONFLICT (import_id, n) DO NOTHING`,
		file.id, n, m.OpenID, m.UserCardCode, m.Level, phone, file.cardID)
	if err == nil {
		err = s.store.queryRow(ctx, tx, "SELECT state FROM import_rows WHERE import_id = ?1 AND n = ?2", file.id, n).Scan(&state)
	}
	return state, added, err
}

// stopImport keeps the rows of an import that were not begun from being sent. The same file again goes on.
func (s *service) stopImport(ctx context.Context, id, why string) error {
	_, err := s.store.exec(ctx, nil, "UPDATE imports SET state = ?2, why = ?3 WHERE id = ?1", id, importStopped, why)
	return err
}

// importRow is a row that is claimed.
type importRow struct {
	importJob
	brandID, openID, level, phone string
	tries                         int64
}

// claimRow keeps a row to its caller for a while.
func (s *store) claimRow(ctx context.Context, job importJob) (row importRow, err error) {
	row.importJob = job
	err = s.queryRow(ctx, nil, `UPDATE import_rows SET state = '`+rowBegun+`', tries = tries + 1, lease = NOW + ?3
		WHERE import_id = ?1 AND n = ?2 AND state IN ('`+rowWaiting+`', '`+rowBegun+`') AND lease < NOW
		AND EXISTS (SELECT 1 FROM imports WHERE id = ?1 AND state <> '`+importStopped+`')
		RETURNING openid, level, phone, tries, (SELECT brand_id FROM imports WHERE id = ?1)`,
		job.Import, job.Row, lease.Milliseconds()).Scan(&row.openID, &row.level, &row.phone, &row.tries, &row.brandID)
	return row, err
}

// importRow imports a row once: what may have been done is looked at first.
func (s *service) importRow(ctx context.Context, job importJob, _ bool) error {
	row, err := s.store.claimRow(ctx, job)
	if errors.Is(err, sql.ErrNoRows) {
		var leased bool
		err = s.store.queryRow(ctx, nil, `SELECT COUNT(*) > 0 FROM import_rows r JOIN imports i ON i.id = r.import_id
			WHERE r.import_id = ?1 AND r.n = ?2 AND r.state = '`+rowBegun+`' AND i.state <> '`+importStopped+`'`, job.Import, job.Row).Scan(&leased)
		if err == nil && leased {
			err = errLeased
		}
		return err
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	state, card, err := s.importOnce(ctx, row)
	ctx = context.WithoutCancel(ctx)
	switch {
	case state != "":
		why := ""
		if err != nil {
			why = err.Error()
		}
		return s.endRow(ctx, row, state, why, card)
	case errors.Is(err, membercard.ErrForbidden): // so it will be with the other rows
		err = errors.Join(err, s.stopImport(ctx, job.Import, err.Error()))
	}
	if errors.Is(err, membercard.ErrOutcomeUnknown) || row.tries > 1 { // the lease stays: the request must be over first
		return err
	}
	_, notBegun := s.store.exec(ctx, nil, "UPDATE import_rows SET state = ?3, tries = 0, lease = 0 WHERE import_id = ?1 AND n = ?2", job.Import, job.Row, rowWaiting)
	return errors.Join(err, notBegun)
}

// known reports whether the books have the card of a row, or another import has the row under way.
func (s *store) known(ctx context.Context, row importRow) (member, underWay bool, err error) {
	err = s.queryRow(ctx, nil, `SELECT EXISTS (SELECT 1 FROM members WHERE card_id = ?1 AND user_card_code = ?2 AND openid = ?3),
		EXISTS (SELECT 1 FROM import_rows r JOIN imports i ON i.id = r.import_id
			WHERE i.card_id = ?1 AND r.user_card_code = ?2 AND r.openid = ?3 AND r.state = '`+rowBegun+`' AND r.import_id <> ?4)`,
		row.CardID, row.UserCardCode, row.openID, row.Import).Scan(&member, &underWay)
	return member, underWay, err
}

// importOnce returns how a row ended, and the card if it was read, or no state where the row has to come again.
func (s *service) importOnce(ctx context.Context, row importRow) (state string, card *membercard.UserCard, err error) {
	client := s.keys.client()
	read := func() (*membercard.UserCard, error) {
		return client.GetUserCard(ctx, membercard.GetUserCardRequest{BrandID: row.brandID, CardID: row.CardID, UserCardCode: row.UserCardCode, OpenID: row.openID})
	}
	if row.tries > 1 {
		card, err := read()
		if err == nil {
			return rowDone, card, nil
		}
		if refused, ok := errors.AsType[*membercard.APIError](err); !ok || !refused.Verified || !errors.Is(err, membercard.ErrNotFound) {
			return "", nil, err
		}
	} else {
		member, underWay, err := s.store.known(ctx, row)
		switch {
		case err != nil:
			return "", nil, err
		case member:
			return rowDone, nil, nil
		case underWay:
			return "", nil, errLeased
		}
	}
	request := membercard.ImportUserCardByOpenIDRequest{
		BrandID: row.brandID, CardID: row.CardID, UserCardCode: row.UserCardCode, OpenID: row.openID, Level: row.level,
		PickupTime: membercard.Timestamp{Time: time.Now()},
	}
	if err := request.PhoneNumber.Scan(row.phone); err != nil {
		return "", nil, err
	}
	_, err = client.ImportUserCardByOpenID(ctx, request)
	if refused, ok := errors.AsType[*membercard.APIError](err); ok && errors.Is(err, membercard.ErrInvalidRequest) && !errors.Is(err, membercard.ErrOutcomeUnknown) {
		if strings.Contains(refused.Message, "用户主动删除") {
			return rowDeleted, nil, nil
		}
		if card, err := read(); err == nil { // it is the card that was asked for
			return rowDone, card, nil
		}
	}
	switch {
	case err == nil:
		return rowDone, nil, nil
	case errors.Is(err, membercard.ErrOutcomeUnknown):
		return "", nil, err
	case errors.Is(err, membercard.ErrInvalidRequest), errors.Is(err, membercard.ErrInvalidParameter), errors.Is(err, membercard.ErrNotFound), errors.Is(err, membercard.ErrAlreadyExists):
		return rowRefused, nil, err
	}
	return "", nil, err
}

// endRow ends a row, and adds a member that was imported to the books. A card that was there is taken as it is: where the file has another
// level or phone number, it is changed.
func (s *service) endRow(ctx context.Context, row importRow, state, why string, card *membercard.UserCard) error {
	level, phone := "", ""
	added := membercard.UserCard{
		BrandID: row.brandID, CardID: row.CardID, UserCardCode: row.UserCardCode, OpenID: row.openID, Level: row.level, UserCardState: membercard.UserCardStateEffective,
	}
	if card != nil {
		added.UserCardState, added.Level = card.UserCardState, card.Level
		if row.level != "" && row.level != card.Level {
			level = row.level
		}
		if same, err := s.samePhone(row.phone, card.PhoneNumber); err != nil {
			return err
		} else if !same {
			phone = row.phone
		}
		if card.UserCardState != membercard.UserCardStateEffective {
			level, phone, state, why = "", "", rowRefused, "the card is "+string(card.UserCardState)
		}
	}
	return s.store.inTx(ctx, func(tx *sql.Tx) error {
		_, err := s.store.exec(ctx, tx, "UPDATE import_rows SET state = ?3, why = ?4, phone = '', lease = 0, at = NOW WHERE import_id = ?1 AND n = ?2", row.Import, row.Row, state, why)
		if err != nil || state != rowDone && card == nil {
			return err
		}
		if err := s.store.addMember(ctx, tx, added, added.UserCardState); err != nil || level == "" && phone == "" {
			return err
		}
		if err := s.store.setDetails(ctx, tx, row.cardName, level, phone); err != nil {
			return err
		}
		_, err = s.jobs.InsertTx(ctx, tx, detailsJob{row.cardName}, nil)
		return err
	})
}

// samePhone compares a phone number of a row with that of a card.
func (s *service) samePhone(ours string, theirs membercard.Sensitive) (bool, error) {
	if ours == "" {
		return true, nil
	}
	var wanted membercard.Sensitive
	if err := wanted.Scan(ours); err != nil {
		return false, err
	}
	client := s.keys.client()
	a, err := client.Decrypt(wanted)
	if err != nil {
		return false, err
	}
	b, err := client.Decrypt(theirs)
	return a == b, err
}

// importProgress is how an import stands.
type importProgress struct {
	ID, Name, State, Why string
	At                   milliseconds
	Total, Loaded        int
	Rows                 map[string]int // by state
	PerSecond            float64        // in the last minute
}

// Ended is how many rows are over.
func (p importProgress) Ended() int {
	return p.Rows[rowDone] + p.Rows[rowRefused] + p.Rows[rowDeleted]
}

// Over says that no row is left, or that nothing is done with those that are.
func (p importProgress) Over() bool { return p.Ended() == p.Total || p.State == importStopped }

// Left is how long it takes at the rate of the last minute; 0 where that is not known.
func (p importProgress) Left() time.Duration {
	if p.PerSecond == 0 {
		return 0
	}
	return (time.Duration(float64(p.Total-p.Ended())/p.PerSecond) * time.Second).Round(time.Second)
}

func (p importProgress) String() string {
	left, state := "?", p.State
	if p.PerSecond > 0 {
		left = p.Left().String()
	}
	if p.Ended() == p.Total {
		left, state = "0s", "over"
	}
	return fmt.Sprintf("%d of %d rows, %.1f/s, %s left, %d refused, %d deleted by the user, %s",
		p.Ended(), p.Total, p.PerSecond, left, p.Rows[rowRefused], p.Rows[rowDeleted], state)
}

// importProgress reads how an import stands.
func (s *store) importProgress(ctx context.Context, id string) (p importProgress, err error) {
	var at, now int64
	p.ID, p.Rows = id, map[string]int{}
	err = s.queryRow(ctx, nil, "SELECT name, state, why, at, total, NOW FROM imports WHERE id = ?1", id).Scan(&p.Name, &p.State, &p.Why, &at, &p.Total, &now)
	if err != nil {
		return p, err
	}
	const minute = 60_000
	p.At = milliseconds(at)
	type states struct {
		state     string
		n, lately int
	}
	all, err := list(ctx, s, func(row *sql.Rows) (r states, err error) {
		err = row.Scan(&r.state, &r.n, &r.lately)
		return r, err
	}, "SELECT state, COUNT(*), COUNT(CASE WHEN at > NOW - ?2 AND at >= ?3 THEN 1 END) FROM import_rows WHERE import_id = ?1 GROUP BY state", id, minute, at)
	for _, r := range all {
		p.Rows[r.state] = r.n
		p.Loaded += r.n
		p.PerSecond += 1000 * float64(r.lately) / float64(max(min(now-at, minute), 1000))
	}
	return p, err
}

// followImport shows an import in the terminal until it is over.
func (s *service) followImport(ctx context.Context, id string, out io.Writer) error {
	ended, since, asked := 0, time.Now(), false
	for {
		p, err := s.store.importProgress(ctx, id)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "\r%-100s", p)
		if p.Over() {
			fmt.Fprintln(out)
			refused, err := s.store.refusedRows(ctx, id)
			for _, row := range refused {
				fmt.Fprintf(out, "row %d: %s %s\n", row.N, row.State, row.Why)
			}
			if n := p.Rows[rowRefused]; err == nil && n > 0 {
				err = fmt.Errorf("rows refused: %d", n)
			}
			return err
		}
		if p.Ended() != ended {
			ended, since = p.Ended(), time.Now()
		} else if !asked && time.Since(since) > 5*time.Second {
			asked = true
			fmt.Fprintln(out, "\nnothing has been done for a while: is a service running on this database?")
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			fmt.Fprintln(out, "\nthe service goes on with the import")
			return nil
		}
	}
}

// refusedRow is a row that was not imported.
type refusedRow struct {
	N          int
	State, Why string
}

// refusedRows lists the first rows that were refused, or whose user deleted the card.
func (s *store) refusedRows(ctx context.Context, id string) ([]refusedRow, error) {
	return list(ctx, s, func(row *sql.Rows) (r refusedRow, err error) {
		err = row.Scan(&r.N, &r.State, &r.Why)
		return r, err
	}, "SELECT n, state, why FROM import_rows WHERE import_id = ?1 AND state IN (?2, ?3) ORDER BY n LIMIT 1000", id, rowRefused, rowDeleted)
}
