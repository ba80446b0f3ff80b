package membercard_test

import (
	"bytes"
	"encoding/base64"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"html/template"
	"log"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
)

// forms returns the ways a secret could show: as it is, in hexadecimal, in Base64, in decimal bytes.
func forms(secret string) []string {
	return []string{
		secret, fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret), fmt.Sprintf("% x", secret), fmt.Sprintf("%#x", secret),
		base64.StdEncoding.EncodeToString([]byte(secret)),
		strings.Trim(fmt.Sprint([]byte(secret)), "[]"), strings.Trim(fmt.Sprintf("%#v", []byte(secret)), "[]byte{}"),
	}
}

func assertHidden(t *testing.T, secret, text, where string) {
	t.Helper()
	for _, form := range forms(secret) {
		assert.NotContains(t, text, form, where)
	}
}

type embedding struct{ membercard.Sensitive }

// TestSensitiveNeverPrints goes through every verb, flag and holder, exported and not.
func TestSensitiveNeverPrints(t *testing.T) {
	t.Parallel()
	const secret = "13812345678"
	value := membercard.NewSensitive(secret)
	holders := map[string]any{
		"value":              value,
		"pointer":            &value,
		"slice":              []membercard.Sensitive{value},
		"array":              [1]membercard.Sensitive{value},
		"map":                map[string]membercard.Sensitive{"k": value},
		"any":                []any{value, &value},
		"exported":           struct{ V membercard.Sensitive }{value},
		"unexported":         struct{ v membercard.Sensitive }{value},
		"exported pointer":   struct{ V *membercard.Sensitive }{&value},
		"unexported pointer": struct{ v *membercard.Sensitive }{&value},
		"unexported slice":   struct{ v []membercard.Sensitive }{[]membercard.Sensitive{value}},
		"unexported map": struct {
			v map[string]membercard.Sensitive
		}{map[string]membercard.Sensitive{"k": value}},
		"unexported any":        struct{ v any }{value},
		"pointer to unexported": &struct{ v membercard.Sensitive }{value},
		"embedded":              embedding{value},
		"card":                  membercard.UserCard{PhoneNumber: value},
		"request":               &membercard.UpdateUserCardRequest{PhoneNumber: value},
	}
	combinations := 0
	for name, holder := range holders {
		for verb := '!'; verb <= '~'; verb++ {
			for _, flags := range []string{"", "+", "#", "-", " ", "0", "+#", "#+ 0-", "20", ".3", "-20.5"} {
				format := "%" + flags + string(verb)
				assertHidden(t, secret, fmt.Sprintf(format, holder), name+" "+format)
				combinations++
			}
		}
		assertHidden(t, secret, fmt.Sprint(holder), name)
		for _, handler := range []func(*bytes.Buffer) slog.Handler{
			func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
			func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
		} {
			var out bytes.Buffer
			slog.New(handler(&out)).Info("message", "holder", holder)
			assertHidden(t, secret, out.String(), name+" slog")
		}
		var out bytes.Buffer
		log.New(&out, "", 0).Println(holder)
		require.NoError(t, template.Must(template.New("").Parse("{{.}}")).Execute(&out, holder))
		if data, err := json.Marshal(holder); err == nil {
			out.Write(data)
		}
		if data, err := xml.Marshal(holder); err == nil {
			out.Write(data)
		}
		_ = gob.NewEncoder(&out).Encode(holder)
		assertHidden(t, secret, out.String(), name+" encoders")
	}
	t.Logf("%d combinations", combinations)
	assert.Equal(t, "[sensitive]", value.String())
	assert.Equal(t, "[sensitive]", fmt.Sprintf("%v", value))
}

func TestSensitiveCannotBeCompared(t *testing.T) {
	t.Parallel()
	assert.False(t, reflect.TypeFor[membercard.Sensitive]().Comparable())
}

func TestSensitiveJSON(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	client := server.Client()
	card, err := client.GetUserCard(t.Context(), getRequest)
	require.NoError(t, err)

	t.Run("a sealed value is stored as its ciphertext and opens later", func(t *testing.T) {
		stored, err := json.Marshal(card)
		require.NoError(t, err)
		assertHidden(t, phoneNumber, string(stored), "stored")
		var restored membercard.UserCard
		require.NoError(t, json.Unmarshal(stored, &restored))
		assert.True(t, card.PhoneNumber.Equal(restored.PhoneNumber))
		opened, err := client.Decrypt(restored.PhoneNumber)
		require.NoError(t, err)
		assert.Equal(t, phoneNumber, opened)
	})
	t.Run("a plaintext value is redacted for good", func(t *testing.T) {
		stored, err := json.Marshal(membercard.NewSensitive(phoneNumber))
		require.NoError(t, err)
		assert.Equal(t, `"[redacted]"`, string(stored))
		var restored membercard.Sensitive
		require.NoError(t, json.Unmarshal(stored, &restored))
		assert.False(t, restored.IsZero())
		_, err = client.Decrypt(restored)
		require.ErrorContains(t, err, "redacted")
		request := updateRequest
		request.PhoneNumber = restored
		_, err = client.UpdateUserCard(t.Context(), request)
		require.ErrorContains(t, err, "PhoneNumber")
		require.ErrorIs(t, err, membercard.ErrInvalidParameter)
		again, err := json.Marshal(restored)
		require.NoError(t, err)
		assert.Equal(t, `"[redacted]"`, string(again))
	})
	t.Run("values", func(t *testing.T) {
		for data, want := range map[string]string{
			`""`: "", `null`: "", `"13800000000"`: "13800000000", `"男"`: "男",
			`"QUJD"`: "QUJD",
		} {
			var value membercard.Sensitive
			require.NoError(t, json.Unmarshal([]byte(data), &value), data)
			got, err := client.Decrypt(value)
			require.NoError(t, err, data)
			assert.Equal(t, want, got)
			assert.Equal(t, want == "", value.IsZero())
		}
	})
	t.Run("another type names the field and not the value", func(t *testing.T) {
		for _, value := range []string{`13812345678`, `{"a":"13812345678"}`, `["13812345678"]`, `true`} {
			var card membercard.UserCard
			err := json.Unmarshal([]byte(`{"phone_number":`+value+`}`), &card)
			require.Error(t, err)
			assert.Contains(t, err.Error(), "phone_number")
			assertHidden(t, "13812345678", err.Error(), "error")
		}
	})
	t.Run("one odd string does not fail the record", func(t *testing.T) {
		var card membercard.UserCard
		require.NoError(t, json.Unmarshal([]byte(`{"level":"x","phone_number":"!!! not Base64 !!!"}`), &card))
		assert.Equal(t, "x", card.Level)
	})
}

func TestSensitiveEqual(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	card, err := server.Client().GetUserCard(t.Context(), getRequest)
	require.NoError(t, err)
	again, err := server.Client().GetUserCard(t.Context(), getRequest)
	require.NoError(t, err)
	a := membercard.NewSensitive("a")
	assert.True(t, a.Equal(membercard.NewSensitive("a")))
	assert.False(t, a.Equal(membercard.NewSensitive("b")))
	assert.False(t, a.Equal(membercard.Sensitive{}))
	assert.True(t, membercard.Sensitive{}.Equal(membercard.NewSensitive("")))
	assert.True(t, card.PhoneNumber.Equal(card.PhoneNumber))
	assert.False(t, card.PhoneNumber.Equal(again.PhoneNumber), "encryption is randomised")
	assert.False(t, card.PhoneNumber.Equal(membercard.NewSensitive(phoneNumber)))
}

// fillSensitive puts a value into every Sensitive below v and returns how many there were.
func fillSensitive(v reflect.Value, counter *int) int {
	if v.Type() == reflect.TypeFor[membercard.Sensitive]() {
		*counter++
		v.Set(reflect.ValueOf(membercard.NewSensitive(fmt.Sprintf("canary %d", *counter))))
		return 1
	}
	n := 0
	switch v.Kind() {
	case reflect.Pointer:
		if !hasSensitive(v.Type().Elem()) {
			return 0
		}
		v.Set(reflect.New(v.Type().Elem()))
		n = fillSensitive(v.Elem(), counter)
	case reflect.Slice:
		if !hasSensitive(v.Type().Elem()) {
			return 0
		}
		size := 2
		if v.Type().Elem() != reflect.TypeFor[membercard.Sensitive]() {
			size = 1
		}
		v.Set(reflect.MakeSlice(v.Type(), size, size))
		for i := range v.Len() {
			n += fillSensitive(v.Index(i), counter)
		}
	case reflect.Struct:
		for field, value := range v.Fields() {
			if !field.IsExported() {
				continue
			}
			n += fillSensitive(value, counter)
			if value.Type() == reflect.TypeFor[membercard.CommonFieldFlag]() {
				value.SetString(string(membercard.CommonFieldFlagBirthday))
			} else if value.Kind() == reflect.String && value.Len() == 0 && field.Name == "Name" {
				value.SetString("喜欢的运动")
			}
		}
	}
	return n
}

func hasSensitive(t reflect.Type) bool {
	if t == reflect.TypeFor[membercard.Sensitive]() {
		return true
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		return hasSensitive(t.Elem())
	case reflect.Struct:
		for field := range t.Fields() {
			if field.IsExported() && hasSensitive(field.Type) {
				return true
			}
		}
	}
	return false
}

func countCiphertexts(value any) int {
	n := 0
	switch v := value.(type) {
	case string:
		if data, err := base64.StdEncoding.DecodeString(v); err == nil && len(data) == 256 {
			n++
		}
	case []any:
		for _, element := range v {
			n += countCiphertexts(element)
		}
	case map[string]any:
		for _, member := range v {
			n += countCiphertexts(member)
		}
	}
	return n
}

func TestReadChangeWriteBack(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	client := server.Client()
	card, err := client.GetUserCard(t.Context(), getRequest)
	require.NoError(t, err)
	info := *card.UserInformation
	info.CommonFieldList[0].Value = membercard.NewSensitive("1991-02-02")
	updated, err := client.UpdateUserCard(t.Context(), membercard.UpdateUserCardRequest{
		BrandID: card.BrandID, CardID: card.CardID, UserCardCode: card.UserCardCode, OpenID: card.OpenID,
		PhoneNumber: card.PhoneNumber, UserInformation: &info,
	})
	require.NoError(t, err)
	for want, value := range map[string]membercard.Sensitive{
		phoneNumber:  updated.PhoneNumber,
		"1991-02-02": updated.UserInformation.CommonFieldList[0].Value,
		"足球":         updated.UserInformation.CustomFieldList[0].UserChosenValues[0],
		"篮球":         updated.UserInformation.CustomFieldList[0].UserChosenValues[1],
	} {
		got, err := client.Decrypt(value)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}

	t.Run("a value that does not decrypt fails before the network, naming the field", func(t *testing.T) {
		sent := len(server.Requests())
		var foreign membercard.Sensitive
		require.NoError(t, json.Unmarshal(fmt.Appendf(nil, "%q", officialCiphertext(t)), &foreign))
		request := membercard.UpdateUserCardRequest{
			BrandID: brandID, CardID: cardID, UserCardCode: userCardCode, OpenID: openID,
			UserInformation: &membercard.UserInfo{CustomFieldList: []membercard.UserInfoCustomField{{
				Name: "喜欢的运动", UserChosenValues: []membercard.Sensitive{membercard.NewSensitive("足球"), foreign},
			}}},
		}
		_, err := client.UpdateUserCard(t.Context(), request)
		require.ErrorContains(t, err, "UserInformation.CustomFieldList[0].UserChosenValues[1]")
		require.NotErrorIs(t, err, membercard.ErrOutcomeUnknown)
		assert.Len(t, server.Requests(), sent)
	})
}

func TestSensitiveThatDoesNotFit(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	request := updateRequest
	request.PhoneNumber = membercard.NewSensitive(strings.Repeat("字", 71) + "x")
	_, err := server.Client().UpdateUserCard(t.Context(), request)
	require.NoError(t, err)
	request.PhoneNumber = membercard.NewSensitive(strings.Repeat("字", 72))
	_, err = server.Client().UpdateUserCard(t.Context(), request)
	require.ErrorContains(t, err, "PhoneNumber: 216 bytes do not fit into an encrypted field, at most 214 do")
	assert.Len(t, server.Requests(), 1)
}

// FuzzSensitiveJSON: what is read as an encrypted value is written as it was, nothing else shows, and a
// second reading equals the first.
func FuzzSensitiveJSON(f *testing.F) {
	for _, seed := range []string{`""`, `null`, `"[redacted]"`, `"13800000000"`, `1`, `{}`, `"` + strings.Repeat("A", 342) + `=="`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var value membercard.Sensitive
		if json.Unmarshal(data, &value) != nil {
			require.True(t, value.IsZero(), "value or error, never both")
			return
		}
		out, err := json.Marshal(value)
		require.NoError(t, err)
		var text, in string
		require.NoError(t, json.Unmarshal(out, &text))
		_ = json.Unmarshal(data, &in)
		require.Contains(t, []string{"", "[redacted]", in}, text)
		var again membercard.Sensitive
		require.NoError(t, json.Unmarshal(out, &again))
		require.Equal(t, value.IsZero(), again.IsZero())
		if text == in {
			require.True(t, value.Equal(again))
		}
	})
}

// TestADamagedCiphertextIsNoPlaintext: what happens to a stored ciphertext makes an error, and is handed out as nothing.
func TestADamagedCiphertextIsNoPlaintext(t *testing.T) {
	t.Parallel()
	client := newServer(t).Client()
	card, err := client.GetUserCard(t.Context(), getRequest)
	require.NoError(t, err)
	column, err := card.PhoneNumber.Value()
	require.NoError(t, err)
	text := column.(string)
	damaged := map[string]string{
		"a line feed behind": text + "\n", "a space in front": " " + text, "lines of 64": text[:64] + "\n" + text[64:], "lines of 76": text[:76] + "\r\n" + text[76:],
		"plus became space": strings.ReplaceAll(text[:10]+"+"+text[11:], "+", " "), "URL-safe": strings.NewReplacer("+", "-", "/", "_").Replace("/" + text[1:]),
		"without its padding": strings.TrimRight(text, "="), "the first lost": text[1:], "twice": text + text,
		"in quotes": `"` + text + `"`, "cut with dots": text[:90] + "...", "with its form": "base64:" + text, "a zero byte": text + "\x00",
	}
	for _, n := range []int{100, 128, 191, 200, 255, 256, len(text) - 1} {
		damaged[fmt.Sprint("cut to ", n)] = text[:n]
	}
	for how, text := range damaged {
		data, err := json.Marshal(text)
		require.NoError(t, err)
		var fromJSON, fromColumn membercard.Sensitive
		require.NoError(t, json.Unmarshal(data, &fromJSON), how)
		require.NoError(t, fromColumn.Scan([]byte(text)), how)
		for _, value := range []membercard.Sensitive{fromJSON, fromColumn} {
			opened, err := client.Decrypt(value)
			require.ErrorContains(t, err, "damaged ciphertext", how)
			assert.Empty(t, opened, how)
			_, err = value.Value()
			require.ErrorContains(t, err, "damaged ciphertext", how)
			request := updateRequest
			request.PhoneNumber = value
			_, err = client.UpdateUserCard(t.Context(), request)
			require.ErrorIs(t, err, membercard.ErrInvalidParameter, how)
			again, err := json.Marshal(value)
			require.NoError(t, err)
			if strings.ContainsAny(text, ".:\"\x00") { // what stands around it may be in clear
				data = []byte(`"[redacted]"`)
			}
			assert.Equal(t, string(data), string(again), "%s: nothing is lost", how)
		}
	}
	var clear membercard.Sensitive
	require.NoError(t, json.Unmarshal([]byte(`"`+strings.Repeat("住址", 300)+`"`), &clear))
	hidden, err := json.Marshal(clear)
	require.NoError(t, err)
	assert.Equal(t, `"[redacted]"`, string(hidden), "too long to be encrypted, perhaps in clear")
	for _, text := range []string{"13800000000", strings.Repeat("a", 99), strings.Repeat("广东省深圳市", 20), strings.Repeat("Room 1203, ", 18)} {
		var value membercard.Sensitive
		require.NoError(t, value.Scan(text))
		opened, err := client.Decrypt(value)
		require.NoError(t, err)
		assert.Equal(t, text, opened)
	}
}

func TestSensitiveInADatabase(t *testing.T) {
	t.Parallel()
	client := newServer(t).Client()
	card, err := client.GetUserCard(t.Context(), getRequest)
	require.NoError(t, err)
	column, err := card.PhoneNumber.Value()
	require.NoError(t, err)
	var back membercard.Sensitive
	require.NoError(t, back.Scan(column))
	opened, err := client.Decrypt(back)
	require.NoError(t, err)
	assert.Equal(t, phoneNumber, opened)

	column, err = membercard.Sensitive{}.Value()
	require.NoError(t, err)
	assert.Nil(t, column)
	require.NoError(t, back.Scan(nil))
	assert.True(t, back.IsZero())
	require.ErrorContains(t, back.Scan(1), "int")
	_, err = membercard.NewSensitive(phoneNumber).Value()
	require.ErrorContains(t, err, "encrypt it first")
	assertHidden(t, phoneNumber, err.Error(), "error")
	for _, shown := range []string{"[sensitive]", "[redacted]"} { // what a log or JSON has instead of the value
		require.NoError(t, back.Scan(shown))
		_, err = client.Decrypt(back)
		require.Error(t, err, shown)
	}
	var redacted membercard.Sensitive
	require.NoError(t, json.Unmarshal([]byte(`"[redacted]"`), &redacted))
	_, err = redacted.Value()
	require.ErrorContains(t, err, "redacted")
}

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

// TestYears: those that RFC 3339 can write, in the service's zone.
func TestYears(t *testing.T) {
	t.Parallel()
	beijing := time.FixedZone("", 8*60*60)
	for year, written := range map[int]bool{0: false, 1: true, 9999: true, 10000: false} {
		data, err := json.Marshal(membercard.Timestamp{Time: time.Date(year, 6, 1, 0, 0, 0, 0, beijing)})
		if !written {
			require.ErrorContains(t, err, "cannot be written", year)
			continue
		}
		require.NoError(t, err, year)
		assert.Equal(t, fmt.Sprintf(`"%04d-06-01T00:00:00+08:00"`, year), string(data))
	}
}

// TestWhatIsNoText: the error says whether it was a broken string or another value, and quotes neither.
func TestWhatIsNoText(t *testing.T) {
	t.Parallel()
	for data, what := range map[string]string{
		"": "value that is no string", "1": "value that is no string", "{}": "value that is no string",
		`"`: "json: cannot unmarshal string", `"\x"`: "json: cannot unmarshal string", `"secret`: "json: cannot unmarshal string",
	} {
		var s membercard.Sensitive
		err := s.UnmarshalJSON([]byte(data))
		require.ErrorContains(t, err, what, "%q", data)
		assert.NotContains(t, err.Error(), "secret")
	}
	for _, plain := range []string{"a b", "~", " ", "a\"b\\c"} {
		data, err := json.Marshal(plain)
		require.NoError(t, err)
		var s membercard.Sensitive
		require.NoError(t, s.UnmarshalJSON(data))
		assert.True(t, s.Equal(membercard.NewSensitive(plain)), plain)
	}
}

// TestReadingUsualValues is done without a second decoder, which is dear. Others take it, and their values are right as well.
func TestReadingUsualValues(t *testing.T) {
	var moment membercard.Timestamp
	in := []byte(`"2026-08-08T10:00:00+08:00"`)
	assert.Zero(t, testing.AllocsPerRun(10, func() { _ = moment.UnmarshalJSON(in) }))
	assert.False(t, moment.IsZero())
	allocations := func(data string) float64 {
		var s membercard.Sensitive
		in := []byte(data)
		return testing.AllocsPerRun(10, func() { _ = s.UnmarshalJSON(in) })
	}
	usual := allocations(`"ab"`)
	assert.Equal(t, usual, allocations(`" ~"`))
	for unusual, value := range map[string]string{`"a\"b"`: `a"b`, `"a\\b"`: `a\b`, `"\u0001b"`: "\x01b", `"微信"`: "微信", "\"\x7f\"": "\x7f", "\"\xff\"": "\uFFFD"} {
		var s membercard.Sensitive
		require.NoError(t, s.UnmarshalJSON([]byte(unusual)))
		assert.True(t, s.Equal(membercard.NewSensitive(value)), unusual)
	}
	for _, broken := range []string{`"a"b"`, "\"a\x01b\"", `"a`, `a"`, `"`} {
		var s membercard.Sensitive
		require.Error(t, s.UnmarshalJSON([]byte(broken)), broken)
	}
}
