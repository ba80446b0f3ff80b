// Package rows imports or updates the members of a CSV file, each exactly once, however often the program
// is interrupted.
//
// Before a request is sent its row is marked as begun in the journal. What is found begun by the next run may
// have been carried out or not, so its card is read first. That needs a pause, in which requests of a
// program that was killed come to their end.
package rows

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/wechatpay-cards/membercard"
)

// Job says what is done with the rows.
type Job struct {
	Client  *membercard.Client
	Account string // whose client it is: results are of one account
	BrandID string
	CardID  string
	Updater *membercard.Client // changes members who are there already, often Client itself; nil: new ones are imported
	Workers int                // calls under way at the same time; rate times the time of a call is enough
	Settle  time.Duration      // waited before the cards of begun rows are read
	Report  func(Status)       // called for each row that ends, by one goroutine at a time; may be nil
}

// Member is a row: openid, user_card_code, level, phone_number. The last two may be empty.
type Member struct{ OpenID, UserCardCode, Level, PhoneNumber string }

// Work does the job on the file of members at path, with its results in a journal, and says on out how
// the rows stand. report is called before the work with the number of rows that are to be done. It returns what Job.Report is to
// be, and may be nil.
func (j *Job) Work(ctx context.Context, path, results string, out io.Writer, report func(rows int) func(Status)) error {
	input, err := os.ReadFile(path) //nolint:gosec // the user's own file
	if err != nil {
		return err
	}
	members, err := Parse(input)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := Check(members); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	journal, err := OpenJournal(cmp.Or(results, path+".results"), j.task(), input)
	if err != nil {
		return err
	}
	if report != nil {
		before := journal.summary(len(members))
		j.Report = report(len(members) - before[Done] - before[Refused])
	}
	start := time.Now()
	summary, err := j.Run(ctx, members, journal)
	fmt.Fprintf(out, "%d done, %d refused, %d for the next run, of %d rows, in %v\n",
		summary[Done], summary[Refused], len(members)-summary[Done]-summary[Refused], len(members), time.Since(start).Round(time.Millisecond))
	err = errors.Join(err, journal.Close())
	switch file := cmp.Or(results, path+".results"); {
	case err != nil:
	case summary[Done]+summary[Refused] < len(members):
		err = fmt.Errorf("run it again for the rest; %s says what was in the way", file)
	case summary[Refused] > 0:
		err = fmt.Errorf("rows refused: %d; %s says why", summary[Refused], file)
		if notUTF8 := CheckUTF8(input); notUTF8 != nil {
			err = fmt.Errorf("%w; %w", err, notUTF8)
		}
	}
	return err
}

// CheckUTF8 names the first line that is not UTF-8.
func CheckUTF8(input []byte) error {
	for i, line := range bytes.Split(input, []byte("\n")) {
		if !utf8.Valid(line) {
			return fmt.Errorf("line %d is not UTF-8: perhaps the spreadsheet saved it as GBK; save it as “CSV UTF-8”", i+1)
		}
	}
	return nil
}

// Parse reads the rows. The first line names the columns.
func Parse(input []byte) ([]Member, error) {
	records, err := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(input, []byte("\xef\xbb\xbf")))).ReadAll()
	if err != nil {
		return nil, err
	}
	columns := []string{"openid", "user_card_code", "level", "phone_number"}
	if len(records) == 0 || !slices.Equal(records[0], columns) {
		return nil, fmt.Errorf("the first line must be %s", strings.Join(columns, ","))
	}
	var members []Member
	for i, r := range records[1:] {
		for column, value := range r {
			if cutOff.MatchString(value) {
				return nil, fmt.Errorf("row %d: %s is %s: a spreadsheet has cut off digits; format the column as text and export it anew", i+1, columns[column], value)
			}
		}
		members = append(members, Member{r[0], r[1], r[2], r[3]})
	}
	return members, nil
}

// Check refuses several rows of one user or one code, and codes that have lost their zeros. A user has one card of a template.
func Check(members []Member) error {
	users, codes := map[string]int{}, map[string]int{}
	for i, m := range members {
		row := i + 1
		if first := users[m.OpenID]; first != 0 && m.OpenID != "" {
			return fmt.Errorf("rows %d and %d are of the same openid; leave one of them", first, row)
		}
		if first := codes[m.UserCardCode]; first != 0 && m.UserCardCode != "" {
			return fmt.Errorf("rows %d and %d have the same user_card_code; leave one of them", first, row)
		}
		users[m.OpenID], codes[m.UserCardCode] = row, row
	}
	longest := 0
	for _, m := range members {
		if strings.HasPrefix(m.UserCardCode, "0") {
			return nil
		}
		if digits.MatchString(m.UserCardCode) {
			longest = max(longest, len(m.UserCardCode))
		}
	}
	for i, m := range members {
		if digits.MatchString(m.UserCardCode) && len(m.UserCardCode) < longest && longest >= 8 {
			return fmt.Errorf("row %d: user_card_code has %d digits, others have %d and none begins with 0: a spreadsheet has cut off zeros; "+
				"format the column as text and export it anew, or put codes of another length into a file of their own", i+1, len(m.UserCardCode), longest)
		}
	}
	return nil
}

var digits = regexp.MustCompile(`^\d+$`)

// cutOff is what a spreadsheet makes of a long number: 4.78516E+23, 478515832665.0, and #### in a narrow column.
var cutOff = regexp.MustCompile(`^\s*(\d+[.,]\d+[Ee]\+?\d+|\d+[Ee]\+\d+|\d{8,}[.,]0|#{4,})\s*$`)

// member is what tells the rows of one member from those of another.
func (m Member) member() string { return m.OpenID + "\n" + m.UserCardCode }

// repeated returns, for the first of several rows of one member, the others.
func repeated(members []Member) map[int][]int {
	first, others := make(map[string]int, len(members)), map[int][]int{}
	for i, m := range members {
		if row, there := first[m.member()]; there {
			others[row] = append(others[row], i+1)
		} else {
			first[m.member()] = i + 1
		}
	}
	return others
}

// task names what is done, so that the results of one task are not taken for those of another.
func (j *Job) task() string {
	what := "import"
	if j.Updater != nil {
		what = "update"
	}
	return fmt.Sprintf("%s, account %s, brand %q, template %q", what, j.Account, j.BrandID, j.CardID)
}

// Summary counts how the rows stand.
type Summary map[Status]int

func (j *Journal) summary(rows int) Summary {
	s := Summary{}
	for row := range rows {
		s[j.Status(row+1)]++
	}
	return s
}

// Run works on all rows that are not done or refused, on those of one member in their order. Its error says what kept
// it from going on.
func (j *Job) Run(ctx context.Context, members []Member, journal *Journal) (Summary, error) {
	if before := journal.summary(len(members)); before[Begun] > 0 {
		select {
		case <-time.After(j.Settle):
		case <-ctx.Done():
			return before, ctx.Err()
		}
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	next := make(chan int)
	var workers sync.WaitGroup
	var reporting sync.Mutex
	work := func(row int) {
		if status := journal.Status(row); status == Done || status == Refused {
			return
		}
		status, err := j.one(ctx, row, members[row-1], journal)
		if err != nil { // the journal cannot be written: nothing may be sent any more
			stop(err)
			return
		}
		reporting.Lock()
		defer reporting.Unlock()
		if j.Report != nil {
			j.Report(status)
		}
	}
	others, later := repeated(members), map[int]bool{}
	for _, rows := range others {
		for _, row := range rows {
			later[row] = true
		}
	}
	for range max(j.Workers, 1) {
		workers.Go(func() {
			for row := range next {
				work(row)
				for _, row := range others[row] {
					if ctx.Err() == nil {
						work(row)
					}
				}
			}
		})
	}
	for row := 1; row <= len(members) && ctx.Err() == nil; row++ {
		if status := journal.Status(row); later[row] || len(others[row]) == 0 && (status == Done || status == Refused) {
			continue
		}
		select {
		case next <- row:
		case <-ctx.Done():
		}
	}
	close(next)
	workers.Wait()
	return journal.summary(len(members)), context.Cause(ctx)
}

// one works on one row and writes what came of it.
func (j *Job) one(ctx context.Context, row int, m Member, journal *Journal) (Status, error) {
	inDoubt := journal.Status(row) == Begun
	done, err := false, error(nil)
	if inDoubt {
		done, err = j.isDone(ctx, m)
	}
	if err == nil && !done {
		if err := journal.Set(row, Begun, ""); err != nil {
			return "", err
		}
		err = j.send(ctx, m)
		inDoubt = errors.Is(err, membercard.ErrOutcomeUnknown)
	}
	status, why := Done, ""
	if err != nil {
		why = err.Error()
		switch {
		case inDoubt: // the next run reads the card
			status = Begun
		case errors.Is(err, membercard.ErrInvalidParameter), errors.Is(err, membercard.ErrInvalidRequest), errors.Is(err, membercard.ErrNotFound):
			status = Refused
		default: // no permission, the limit, the limiter is away, interrupted
			status = Later
		}
	}
	return status, journal.Set(row, status, why)
}

const attempts = 3 // at an update that is refused for the rate; a client does as many at an import

// send makes the one request that changes something.
func (j *Job) send(ctx context.Context, m Member) error {
	if j.Updater != nil {
		// One attempt: after doubt the next run looks at the card before it sends again, and a retry of the client's would not.
		ctx := membercard.WithRetry(ctx, membercard.RetryPolicy{MaxAttempts: 1})
		request := membercard.UpdateUserCardRequest{
			BrandID: j.BrandID, CardID: j.CardID, UserCardCode: m.UserCardCode, OpenID: m.OpenID, PhoneNumber: membercard.NewSensitive(m.PhoneNumber),
		}
		if m.Level != "" {
			request.Level = &m.Level
		}
		_, err := j.Updater.UpdateUserCard(ctx, request)
		for try := 2; try <= attempts && errors.Is(err, membercard.ErrRateLimited) && !errors.Is(err, membercard.ErrOutcomeUnknown); try++ {
			select { // it was not carried out: again when the second that is full is over
			case <-time.After(time.Second):
			case <-ctx.Done():
				return err
			}
			_, err = j.Updater.UpdateUserCard(ctx, request)
		}
		return err
	}
	_, err := j.Client.ImportUserCardByOpenID(ctx, membercard.ImportUserCardByOpenIDRequest{
		BrandID: j.BrandID, CardID: j.CardID, UserCardCode: m.UserCardCode, OpenID: m.OpenID, Level: m.Level,
		PhoneNumber: membercard.NewSensitive(m.PhoneNumber), PickupTime: membercard.Timestamp{Time: time.Now()},
	})
	return err
}

// isDone reads the card of a row that was begun.
func (j *Job) isDone(ctx context.Context, m Member) (bool, error) {
	card, err := j.Client.GetUserCard(ctx, membercard.GetUserCardRequest{
		BrandID: j.BrandID, CardID: j.CardID, UserCardCode: m.UserCardCode, OpenID: m.OpenID,
	})
	if refused, ok := errors.AsType[*membercard.APIError](err); ok && refused.Verified && errors.Is(err, membercard.ErrNotFound) {
		return false, nil // an unsigned 404 may be anybody's
	}
	if err != nil || j.Updater == nil {
		return err == nil, err
	}
	phone, err := j.Client.Decrypt(card.PhoneNumber)
	return (m.Level == "" || m.Level == card.Level) && (m.PhoneNumber == "" || m.PhoneNumber == phone), err
}
