package main

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

const head = "openid,user_card_code,level,phone_number\n"

// TestImport: a file is imported row by row, once; what cannot be is shown with its row, and somebody who deleted the card is not tried
// again. The books have the members.
func TestImport(t *testing.T) {
	p := newPlatform(t)
	ctx := t.Context()
	there := p.member(t, "o-there")
	brand, template := there.BrandID, there.CardID
	gone := p.fake.AddUserCard(membercard.UserCard{CardID: template, BrandID: brand, UserCardCode: "gone", OpenID: "o-gone"})
	p.fake.DeleteUserCard(gone.CardID, gone.UserCardCode)
	p.fake.Inject(membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: 429, Code: "RATELIMIT_EXCEEDED", Operation: membercard.OperationImportUserCardByOpenID, Times: 4})

	var input strings.Builder
	input.WriteString(head)
	for i := range 20 {
		fmt.Fprintf(&input, "o-%d,M-%d,金卡,138%08d\n", i, i, i)
	}
	fmt.Fprintf(&input, "o-there,%s,,\no-gone,M-gone,,\no-odd,M-👑,,\n", there.UserCardCode)
	run := func(input string) importProgress {
		t.Helper()
		file, err := readImport("members.csv", brand, template, []byte(input))
		require.NoError(t, err)
		require.NoError(t, p.startImport(ctx, file, "somebody"))
		var out bytes.Buffer
		told := p.followImport(ctx, file.id, &out)
		progress, err := p.store.importProgress(ctx, file.id)
		require.NoError(t, err)
		if n := progress.Rows[rowRefused]; n > 0 {
			require.ErrorContains(t, told, fmt.Sprintf("rows refused: %d", n))
		} else {
			require.NoError(t, told)
		}
		assert.Contains(t, out.String(), ", over")
		return progress
	}
	progress := run(input.String())
	assert.Equal(t, map[string]int{rowDone: 21, rowDeleted: 1, rowRefused: 1}, progress.Rows)
	for i := range 20 {
		assert.Equal(t, 1, p.fake.Effects(membercard.OperationImportUserCardByOpenID, fmt.Sprint("M-", i)))
		m, err := p.store.member(ctx, nil, cardName{template, fmt.Sprint("M-", i)})
		require.NoError(t, err)
		assert.Equal(t, "金卡", m.level)
	}
	card, _ := p.fake.UserCard(template, "M-3")
	plain, err := p.keys.client().Decrypt(card.PhoneNumber)
	require.NoError(t, err)
	assert.Equal(t, "13800000003", plain)
	assert.Zero(t, p.ask(t, "SELECT COUNT(*) FROM import_rows WHERE phone <> ''"), "phone numbers are not kept")

	requests := len(p.fake.Requests())
	jobs := p.ask(t, "SELECT COUNT(*) FROM river_job WHERE kind = 'import'")
	assert.Equal(t, progress.Rows, run(input.String()).Rows, "the same file is the same import")
	assert.Equal(t, jobs, p.ask(t, "SELECT COUNT(*) FROM river_job WHERE kind = 'import'"), "and needs no more jobs")
	assert.Equal(t, 22, run(strings.Replace(input.String(), "M-👑", "M-crown", 1)).Rows[rowDone], "a mended file")
	var sent []string
	for _, request := range p.fake.Requests()[requests:] {
		sent = append(sent, string(request.Operation))
	}
	assert.Equal(t, []string{string(membercard.OperationImportUserCardByOpenID)}, sent, "the mended row alone")
}

// TestImportInDoubt: a row whose answer did not come is looked at, and not sent again.
func TestImportInDoubt(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a lease")
	}
	t.Parallel()
	p := newPlatform(t)
	template := p.fake.AddCard(membercard.Card{})
	for _, after := range []bool{true, false} {
		p.fake.Inject(membercardtest.Fault{Kind: membercardtest.FaultCut, Operation: membercard.OperationImportUserCardByOpenID, AfterEffect: after})
	}
	file, err := readImport("members.csv", template.BrandID, template.CardID, []byte(head+"o-1,M-1,,\no-2,M-2,,\no-3,M-3,,\n"))
	require.NoError(t, err)
	require.NoError(t, p.startImport(t.Context(), file, "somebody"))
	p.eventually(t, func() bool { return p.ask(t, "SELECT COUNT(*) FROM attention WHERE state = 'doubt'") == 2 })
	require.NoError(t, p.stopImport(t.Context(), file.id, "somebody"))
	require.NoError(t, p.startImport(t.Context(), file, "somebody"), "more jobs for the same rows")
	require.NoError(t, p.followImport(t.Context(), file.id, &bytes.Buffer{}))
	for i := range 3 {
		assert.Equal(t, 1, p.fake.Effects(membercard.OperationImportUserCardByOpenID, fmt.Sprint("M-", i+1)))
	}
	p.eventually(t, func() bool { return p.ask(t, "SELECT COUNT(*) FROM attention WHERE state = 'doubt'") == 0 })
}

// TestImportOfWhatIsThere: a card that was there is taken as it is, and changed where the file has another level. A mended file that
// comes while the first is under way sends no row twice.
func TestImportOfWhatIsThere(t *testing.T) {
	p := newPlatform(t)
	template := p.fake.AddCard(membercard.Card{})
	p.fake.AddUserCard(membercard.UserCard{CardID: template.CardID, BrandID: template.BrandID, UserCardCode: "there", OpenID: "o-there", Level: "银卡"})
	var input strings.Builder
	input.WriteString(head + "o-there,there,金卡,13900001234\n")
	for i := range 30 {
		fmt.Fprintf(&input, "o-%d,M-%d,,\n", i, i)
	}
	for _, more := range []string{"", "o-30,M-30,,\n"} {
		file, err := readImport("members.csv", template.BrandID, template.CardID, []byte(input.String()+more))
		require.NoError(t, err)
		require.NoError(t, p.startImport(t.Context(), file, "somebody"))
		if more != "" {
			require.NoError(t, p.followImport(t.Context(), file.id, &bytes.Buffer{}))
		}
	}
	sent := map[string]int{}
	for _, request := range p.fake.Requests() {
		if request.Operation == membercard.OperationImportUserCardByOpenID {
			sent[string(request.Body)]++
		}
	}
	assert.Len(t, sent, 32)
	for body, n := range sent {
		assert.Equal(t, 1, n, body)
	}
	p.eventually(t, func() bool {
		card, _ := p.fake.UserCard(template.CardID, "there")
		plain, err := p.keys.client().Decrypt(card.PhoneNumber)
		return err == nil && card.Level == "金卡" && plain == "13900001234"
	})
}

// TestStoppedImport: a missing permission stops an import, and the same file goes on.
func TestStoppedImport(t *testing.T) {
	p := newPlatform(t)
	template := p.fake.AddCard(membercard.Card{})
	p.fake.Inject(membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: 403, Code: "NO_AUTH"})
	var input strings.Builder
	input.WriteString(head)
	for i := range 30 {
		fmt.Fprintf(&input, "o-%d,M-%d,,\n", i, i)
	}
	file, err := readImport("members.csv", template.BrandID, template.CardID, []byte(input.String()))
	require.NoError(t, err)
	require.NoError(t, p.startImport(t.Context(), file, "somebody"))
	p.eventually(t, func() bool {
		return p.ask(t, "SELECT COUNT(*) FROM imports WHERE state = 'stopped' AND why <> ''") == 1
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, p.startImport(ctx, file, "somebody"))
	require.NoError(t, p.followImport(ctx, file.id, &bytes.Buffer{}))
	progress, err := p.store.importProgress(ctx, file.id)
	require.NoError(t, err)
	assert.Equal(t, map[string]int{rowDone: 30}, progress.Rows)
	assert.Positive(t, progress.PerSecond)
}

// TestFlagsThatDoNotGoTogether are refused, and what would only show later.
func TestFlagsThatDoNotGoTogether(t *testing.T) {
	t.Parallel()
	none := filepath.Join(t.TempDir(), "none")
	for says, args := range map[string][]string{
		"-import needs -brand and -card":    {"-keys", "k", "-database", "d", "-import", "f"},
		"go with nothing else":              {"-keys", "k", "-brand", "b"},
		"-database goes with -keys":         {"-database", "d"},
		"-new-password goes with -database": {"-new-password", "admin"},
		"none: no such file or directory":   {"-new-password", "admin", "-database", none},
		"no such file":                      {"-keys", "k", "-database", filepath.Join(none, "d")},
		"a file of SQLite or an address":    {"-keys", "k", "-database", "mysql://x"},
	} {
		_, err := parse(args)
		require.ErrorContains(t, err, says)
	}
}

// TestDamagedFiles are refused as a whole, with the number of the row.
func TestDamagedFiles(t *testing.T) {
	for input, want := range map[string]string{
		"":                                   "the first line must be",
		head:                                 "there is no row",
		head + "o,c,\xbb\xc6\xbd\xf0,\n":     "line 2 is not UTF-8",
		head + "o,4.78516E+23,,\n":           "row 1: user_card_code is 4.78516E+23",
		head + "o,12345678,,\np,2345678,,\n": "row 2: user_card_code has 7 digits, others have 8",
		head + "o,c,,\np,d,,\no,c,,\n":       "rows 1 and 3 are of the same openid",
		head + "o,c\n":                       "wrong number of fields",
		head + "o,c,,\no,d,,\n":              "rows 1 and 2 are of the same openid",
		head + "o,c,,\np,c,,\n":              "rows 1 and 2 have the same user_card_code",
		head + "o,c,,\n,d,,\n":               "row 2 has no openid or no user_card_code",
	} {
		_, err := readImport("members.csv", "1004", "card", []byte(input))
		require.ErrorContains(t, err, want, "%q", input)
	}
	_, err := readImport("members.csv", "", "card", []byte(head+"o,c,,\n"))
	require.ErrorContains(t, err, "are required")
	_, err = readImport("members.csv", "1004", "card", []byte(head+"o,012345678,,\np,12345678,,\n"))
	require.NoError(t, err, "zeros are there")
}
