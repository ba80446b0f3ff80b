package redact

import (
	"encoding/json"
	"html"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/quick"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const signature = "BKyAfU4iMCuvXMXS0Wzam3V/cnxZ+JaqigPM5OhljS2iOT95OO6Fsuml2JkFANJU9K6q9bLlDhPXuoVz+pp4hAm6pHU4ld815U4jsKu1RkyaII+1CYBUYC8TK0XtJ8FwUXXz8vZHh58rrAVN1XwNyvD1vfpxrMT4SL536GLwvpUHlCqIMzoZUguLli/K8V29QiOhuH6IEqLNJn8e9b3nwNcQ7be3CzYGpDAKBfDGPCqCv8Rw5zndhlffk2FEA70G4hvMwe51qMN/RAJbknXG23bSlObuTCN7Ndj1aJGH6/L+hdwfLpUtJm4QYVazzW7DFD27EpSQEqA8bX9+8m1rLg=="

func TestLine(t *testing.T) {
	for _, test := range []struct {
		secrets    Secrets
		text, line string
	}{
		{nil, "plain", "plain"},
		{Secrets{"", "12345", "secret"}, "12345 secret", "[…] […]"},
		{Secrets{"c-12"}, "card c-12 of c-123, abc-12 and /c-12?", "card […] of c-123, abc-12 and /[…]?"},
		{Secrets{"x"}, "0x x9 Ax xZ ax xz", "0x x9 Ax xZ ax xz"},
		{Secrets{"x"}, "/x x: @x x[ `x x{", "/[…] […]: @[…] […][ `[…] […]{"},
		{Secrets{"x", "."}, "x1 1x x. ax", "x1 1x […]. ax"},
		{Secrets{"小明"}, "phone_number 小明 与 用户小明不符 %E5%B0%8F%E6%98%8E", "phone_number […] 与 用户[…]不符 […]"},
		{Secrets{"abcdef", "defghi"}, "-abcdefghi-", "-[…]-"},
		{Secrets{"aaaaaa"}, strings.Repeat("a", 17), "[…]"},
		{Secrets{"[…][…]"}, "[478515832665] […][…]", "[478515832665] […]"},
		{Secrets{"用户一二三四"}, `"\u7528\u6237\u4e00\u4e8c\u4e09\u56db" %e7%94%a8%e6%88%b7%e4%b8%80%e4%ba%8c%e4%b8%89%e5%9b%9b`, `"[…]" […]`},
		{Secrets{"o-1 <&>x"}, "o-1 <&>x o-1%20%3C&%3Ex o-1+%3C%26%3Ex o-1%20%3C%26%3Ex o-1 \\u003c\\u0026\\u003ex", "[…] […] […] […] […]"},
		{Secrets{"VIP/2024/00017"}, `VIP\/2024\/00017 VIP&#47;2024&#x2f;00017 VIP%2F2024%2f00017 VIP%252F2024%252F00017 VIP\\\/2024\\\/00017`, "[…] […] […] […] […]"},
		{Secrets{"深圳市南山区"}, `\u6DF1\u5733\u5e02\u5357\u5C71\u533A &#28145;&#22323;&#24066;&#21335;&#23665;&#21306;`, "[…] […]"},
		{Secrets{"VIP(2024)#17", `say "x" & 'y'`}, `VIP(2024)%2317 say \"x\" &amp; 'y' say &quot;x&quot; & &#39;y&#39;`, "[…] […] […]"},
		{Secrets{"secret"}, `100% \ & &; &x; %zz \q \x73ecret \163ecret`, `100% \ & &; &x; %zz \q […] […]`},
		{Secrets{strings.Repeat(" ", 64), strings.Repeat("+", 70), strings.Repeat("\n", 64)}, "a b+c", "a b+c"},
		{Secrets{`VIP0001\`}, strconv.Quote(`VIP0001\`), `"[…]"`},
		{Secrets{"AB123456"}, "50%AB123456", "50%[…]"},
		{Secrets{"VIP0001%"}, "VIP0001%25AF", "[…]AF"},
		{Secrets{"VIP&gt0001"}, "VIP&gt0001; x", "[…]; x"},
		{Secrets{"nameless-secret"}, `C:\nameless-secret`, `C:\[…]`},
		{Secrets{"Li", "张三"}, `{"name":"\nLi"} name=%22Li%22 name%3D%E5%BC%A0%E4%B8%89 用户张三不符`, `{"name":"\n[…]"} name=%22[…]%22 name%3D[…] 用户[…]不符`},
		{Secrets{"卡", "无"}, "用户会员卡不存在 模板无效 卡", "用户会员卡不存在 模板无效 […]"},
		{nil, "a\nb\x00\u2028\u202e\u200bc", "a b    c"},
		{nil, strings.Repeat("字", 601), strings.Repeat("字", 600) + "…"},
		{Secrets{signature}, `signature="` + signature + `"`, `signature="[…]"`},
		{Secrets{signature}, "signature=" + signature[:100], "signature=[…]" + signature[98:100]},
		{Secrets{signature}, strings.ReplaceAll(signature, "/", `\/`), "[…]"},
		{Secrets{signature}, strings.ReplaceAll(signature, "+", " "), "[…]"},
		{Secrets{signature}, strings.ReplaceAll(strings.ReplaceAll(signature, "+", `\u002B`), "=", "&#61;"), "[…]"},
		{Secrets{signature}, signature[:60] + "\n" + signature[60:120] + "\r\n" + signature[120:], "[…]"},
	} {
		assert.Equal(t, test.line, test.secrets.Line(test.text), "%q", test.text)
	}
}

// TestLineOfAnOverlongText: the end of what is looked at may be the beginning of a secret.
func TestLineOfAnOverlongText(t *testing.T) {
	secret := "0123456789abcdefghij"
	for shift := range len(secret) {
		text := strings.Repeat(secret, maxText/len(secret)-1) + strings.Repeat("x", shift) + strings.Repeat(secret, 3)
		line := Secrets{secret}.Line(text + strings.Repeat("y", maxText))
		assert.NotContains(t, line, "01234", shift)
	}
}

// TestLineNeverQuotes a secret, whatever the text.
func TestLineNeverQuotes(t *testing.T) {
	require.NoError(t, quick.Check(func(secret, before, after string) bool {
		line := Secrets{secret}.Line(before + secret + after)
		return utf8.RuneCountInString(secret) < minSecret || strings.Contains(omission, secret) || !strings.Contains(line, secret) ||
			strings.Contains(Secrets(nil).Line(before), secret) || strings.Contains(Secrets(nil).Line(after), secret)
	}, nil))
}

// TestLineKnowsTheForms in which programs write a value, whatever it is, also one upon the other.
func TestLineKnowsTheForms(t *testing.T) {
	inner := func(quoted string) string { return quoted[1 : len(quoted)-1] }
	inJSON := func(value string) string { data, _ := json.Marshal(value); return inner(string(data)) }
	forms := []func(string) string{
		func(value string) string { return value }, inJSON, url.QueryEscape, url.PathEscape, html.EscapeString,
		func(value string) string { return inJSON(url.QueryEscape(value)) }, func(value string) string { return url.PathEscape(url.PathEscape(value)) },
		func(value string) string { return inJSON(inJSON(value)) }, func(value string) string { return inner(strconv.Quote(value)) },
		func(value string) string { return inner(strconv.QuoteToASCII(value)) },
	}
	const printable = "abcXYZ0189 %+/\\\"'&;<>=-_.~u中文"
	require.NoError(t, quick.Check(func(seed [9]byte) bool {
		var value strings.Builder
		for _, b := range seed {
			value.WriteRune([]rune(printable)[int(b)%utf8.RuneCountInString(printable)])
		}
		for _, form := range forms {
			written := form(value.String())
			if line := (Secrets{value.String()}).Line("code=" + written + "&more"); strings.Contains(line, written) {
				t.Logf("%q written %q: %q", value.String(), written, line)
				return false
			}
		}
		return true
	}, &quick.Config{MaxCount: 5000}))
}

// TestLineNeverQuotesAWord: a short secret that stands alone.
func TestLineNeverQuotesAWord(t *testing.T) {
	require.NoError(t, quick.Check(func(number uint16, before, after string) bool {
		secret := "s" + strconv.FormatUint(uint64(number%1000), 10)
		line := Secrets{secret}.Line(before + " " + secret + " " + after)
		return !slices.Contains(strings.Fields(line), secret) || slices.Contains(strings.Fields(before+" "+after), secret)
	}, nil))
}

// BenchmarkLine of the longest text, with what repeats itself in it.
func BenchmarkLine(b *testing.B) {
	text := strings.Repeat("a", 15<<20)
	for b.Loop() {
		Secrets{strings.Repeat("a", 28), signature, "478515832665"}.Line(text)
	}
}

// TestTheBeginningStays, however long a secret is.
func TestTheBeginningStays(t *testing.T) {
	line := Secrets{strings.Repeat("x", 684)}.Line("an error: unknown " + strings.Repeat("y ", 4000))
	assert.True(t, strings.HasPrefix(line, "an error: unknown y y"), line)
}

// TestLineOfTheLongestText: nothing is taken from its end.
func TestLineOfTheLongestText(t *testing.T) {
	text := strings.Repeat("secret", maxText/6) + "END!"
	require.Len(t, text, maxText)
	assert.Equal(t, "[…]END!", Secrets{"secret"}.Line(text))
	assert.Equal(t, "[…]", Secrets{"secret"}.Line(text+"?"), "there the end may be the beginning of one")
}

// TestLineOfParts: the parts of a long value are cut out, the last too, and not those of a shorter one.
func TestLineOfParts(t *testing.T) {
	long := "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-/"
	require.Len(t, long, 4*partLength)
	for at := 0; at < len(long); at += partLength {
		assert.Equal(t, "-[…]-", Secrets{long}.Line("-"+long[at:at+partLength]+"-"))
	}
	assert.Equal(t, long[:partLength], Secrets{long[:4*partLength-1]}.Line(long[:partLength]))
}

func TestCut(t *testing.T) {
	assert.Equal(t, "字字…", Cut("字字字", 2))
	assert.Equal(t, "字字", Cut("字字", 2))
	assert.Empty(t, Cut("", 2))
}

// FuzzLine: whatever the text and the secret, the result is one line of bounded length.
func FuzzLine(f *testing.F) {
	f.Add("secret", `a %73ecret &#115;ecret \u0073ecret`)
	f.Add(strings.Repeat(" ", 64), "%2")
	f.Add("%", `\`)
	f.Add("", "&;")
	f.Fuzz(func(t *testing.T, secret, text string) {
		line := Secrets{secret}.Line(text)
		require.LessOrEqual(t, utf8.RuneCountInString(line), maxLine+1)
		require.NotContains(t, line, "\n")
		require.Equal(t, Secrets(nil).Line(line), line, "it is printable")
	})
}

// TestAllFindsWhatOverlaps, in the order in which it stands.
func TestAllFindsWhatOverlaps(t *testing.T) {
	t.Parallel()
	for value, text := range map[string]string{
		"":       "ab",
		"aa":     "aaaa b aaa",
		"abab":   "abababab ababa",
		"aab":    "aaab aaaab",
		"abcabd": "abcabcabd abcababcabd", // of which the end is the beginning, and then not
		"aabaaa": "aabaabaaabaaa",
		"x":      "yyy",
	} {
		var want []int
		for i := range text {
			if value != "" && strings.HasPrefix(text[i:], value) {
				want = append(want, i)
			}
		}
		assert.Equal(t, want, slices.Collect(reading{text: text}.all(value)), value)
		for range (reading{text: text}).all(value) {
			break
		}
	}
}

// BenchmarkLineOfOneLetter is the text that costs the most.
func BenchmarkLineOfOneLetter(b *testing.B) {
	letters := strings.Repeat("a", 214)
	secrets := Secrets{letters, letters, letters[:128], letters[:32]}
	text := "%" + strings.Repeat("a", 4000) + `\u0061&amp;`
	for b.Loop() {
		secrets.Line(text)
	}
}
