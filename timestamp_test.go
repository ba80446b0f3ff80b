package membercard_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
)

func TestTimestampReads(t *testing.T) {
	t.Parallel()
	want := time.Date(2020, 5, 20, 5, 29, 35, 0, time.UTC)
	for text, fraction := range map[string]time.Duration{
		"2020-05-20T13:29:35+08:00":           0,
		"2020-05-20T13:29:35.120+08:00":       120 * time.Millisecond,
		"2020-05-20T05:29:35Z":                0,
		"2020-05-20T05:29:35.123456789Z":      123456789,
		"2020-05-20T00:29:35.5-05:00":         500 * time.Millisecond,
		"2020-05-20T13:29:35.1234567+08:00":   123456700,
		"2020-05-20T13:29:35.000000001+08:00": 1,
	} {
		var got membercard.Timestamp
		require.NoError(t, json.Unmarshal([]byte(`"`+text+`"`), &got), text)
		assert.True(t, got.Equal(want.Add(fraction)), text)
	}
	for _, zero := range []string{`""`, `null`, `"0001-01-01T00:00:00Z"`, `"0001-01-01T08:00:00+08:00"`} {
		var got membercard.Timestamp
		require.NoError(t, json.Unmarshal([]byte(zero), &got), zero)
		assert.Equal(t, membercard.Timestamp{}, got, zero)
	}
	for _, bad := range []string{`"2020-05-20"`, `1589952575`, `"yesterday"`, `{}`, `"2020-05-20T13:29:35"`} {
		var card membercard.UserCard
		err := json.Unmarshal([]byte(`{"pickup_time":`+bad+`}`), &card)
		require.Error(t, err, bad)
		assert.Contains(t, err.Error(), "pickup_time")
	}
}

func TestTimestampWrites(t *testing.T) {
	t.Parallel()
	instant := time.Date(2020, 5, 20, 5, 29, 35, 0, time.UTC)
	for want, at := range map[string]time.Time{
		`"2020-05-20T13:29:35+08:00"`:     instant,
		`"2020-05-20T13:29:35.120+08:00"`: instant.Add(120*time.Millisecond + 999),
		`"2020-05-20T13:29:35.001+08:00"`: instant.Add(time.Millisecond).In(time.FixedZone("", -3600)),
		`""`:                              {},
	} {
		got, err := json.Marshal(membercard.Timestamp{Time: at})
		require.NoError(t, err)
		assert.Equal(t, want, string(got))
	}
	_, err := json.Marshal(membercard.Timestamp{Time: time.Date(10000, 1, 2, 0, 0, 0, 0, time.UTC)})
	require.Error(t, err)
	_, err = json.Marshal(membercard.Timestamp{Time: time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)})
	require.Error(t, err)
	data, err := json.Marshal(membercard.DateInfo{Type: membercard.DateTypePermanent})
	require.NoError(t, err)
	assert.Equal(t, `{"type":"PERMANENT"}`, string(data), "a zero time is left out")
}

// TestTimestampIsTheSameInEveryZone is run by .ci/run under other zones as well.
func TestTimestampIsTheSameInEveryZone(t *testing.T) {
	t.Parallel()
	var a, b, c membercard.Timestamp
	require.NoError(t, json.Unmarshal([]byte(`"2020-05-20T13:29:35+08:00"`), &a))
	require.NoError(t, json.Unmarshal([]byte(`"2020-05-20T05:29:35Z"`), &b))
	require.NoError(t, json.Unmarshal(fmt.Appendf(nil, "%q", a.In(time.Local).Format(time.RFC3339)), &c))
	assert.True(t, reflect.DeepEqual(a, b))
	assert.True(t, reflect.DeepEqual(a, c))
	assert.Equal(t, "2020-05-20 13:29:35 +0800 UTC+8", a.String())
}

// FuzzTimestamp: what is read and written is read again as the same instant, cut to milliseconds, and
// is never longer than the service's 32 characters.
func FuzzTimestamp(f *testing.F) {
	f.Add(`"2020-05-20T13:29:35.120+08:00"`)
	f.Add(`""`)
	f.Add(`null`)
	f.Fuzz(func(t *testing.T, text string) {
		var read membercard.Timestamp
		if json.Unmarshal([]byte(text), &read) != nil {
			require.Equal(t, membercard.Timestamp{}, read, "value or error, never both")
			return
		}
		written, err := json.Marshal(read)
		if err != nil {
			return // the year leaves RFC 3339 when the zone changes
		}
		require.LessOrEqual(t, len(written)-2, 29)
		var again membercard.Timestamp
		require.NoError(t, json.Unmarshal(written, &again))
		require.True(t, again.Equal(read.Truncate(time.Millisecond)) || read.IsZero() && again.IsZero(), "%s: %s: %v %v", text, written, read, again)
	})
}

func TestTimestampInADatabase(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 8, 8, 10, 0, 0, 120_000_000, time.UTC)
	column, err := membercard.Timestamp{Time: at}.Value()
	require.NoError(t, err)
	for _, source := range []any{
		column, at.Local(), "2026-08-08T10:00:00.12Z", []byte("2026-08-08 18:00:00.12+08:00"), "2026-08-08 10:00:00.12 +0000 UTC",
		"2026-08-08 18:00:00.12 +0800 UTC+8", "2026-08-08 18:00:00.12+08", "2026-08-08 07:00:00.12 -0300 -03",
	} {
		var back membercard.Timestamp
		require.NoError(t, back.Scan(source), source)
		_, offset := back.Zone()
		assert.True(t, at.Equal(back.Time), source)
		assert.Equal(t, 8*60*60, offset)
	}
	column, err = membercard.Timestamp{}.Value()
	require.NoError(t, err)
	assert.Nil(t, column)
	back := membercard.Timestamp{Time: at}
	require.NoError(t, back.Scan(nil))
	assert.True(t, back.IsZero())
	require.NoError(t, back.Scan(""))
	assert.True(t, back.IsZero())
	require.ErrorContains(t, back.Scan("2026-08-08 10:00:00"), "time zone")
	require.ErrorContains(t, back.Scan(1.5), "float64")
}
