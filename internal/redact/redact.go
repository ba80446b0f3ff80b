// Package redact turns foreign text into text that may be printed: one line, of bounded length, without the
// values that must not be shown.
package redact

import (
	"html"
	"iter"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	minSecret  = 6       // characters; a shorter value is cut out where it stands alone, or it would cut up ordinary words
	maxText    = 4 << 10 // bytes of a text that are looked at
	maxLine    = 600     // characters of a line
	partLength = 16      // a long value is also cut out where a part of this length stands
	omission   = "[…]"

	maxRounds = 2 // of escaping
	maxEscape = 6 // bytes that an escaped byte of a value takes in the usual ways, such as \u0041
)

// Secrets are values that no text may quote.
type Secrets []string

// Line returns text as one line without the secrets, in whatever form somebody else wrote them. What was cut out
// is replaced by […]. The work does not grow with a text beyond a few KiB.
func (s Secrets) Line(text string) string {
	overlong := len(text) > maxText
	if overlong {
		text = text[:maxText]
	}
	hidden := make([]bool, len(text)) // overlapping values are cut out whole, and nothing is sought in what was put in
	longest := 0
	for _, value := range s {
		longest = max(longest, maxEscape*len(value))
	}
	values := slices.Compact(slices.Sorted(slices.Values(s)))
	for _, read := range readings(text) {
		compact := read.compact()
		for _, value := range values {
			read.hide(hidden, value)
			if len(value) >= 4*partLength {
				compact.hideParts(hidden, value)
			}
		}
	}
	if overlong { // the end may be the beginning of a secret
		text = text[:max(len(text)/2, len(text)-longest)]
	}
	var b strings.Builder
	for i := range len(text) {
		switch {
		case !hidden[i]:
			b.WriteByte(text[i])
		case i == 0 || !hidden[i-1]:
			b.WriteString(omission)
		}
	}
	return Cut(strings.Map(printable, b.String()), maxLine)
}

// Cut shortens text to a number of characters.
func Cut(text string, most int) string {
	for i := range text {
		if most--; most < 0 {
			return text[:i] + "…"
		}
	}
	return text
}

// printable replaces line breaks, other control characters, and what changes the direction of text.
func printable(r rune) rune {
	if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
		return ' '
	}
	return r
}

// reading is a text, or what it says without some escapes. A plus sign is a space, as it may be one.
type reading struct {
	text     string
	from, to []int // where each byte of it stands in the source
	rounds   int   // of escapes that were undone
}

// readings returns a text as it stands, and without escapes of one kind after the other: somebody may have escaped what was escaped,
// and what is an escape of one kind can be plain text beside a value of another.
func readings(source string) []reading {
	r := reading{text: source, from: make([]int, len(source)), to: make([]int, len(source))}
	for i := range len(source) {
		r.from[i], r.to[i] = i, i+1
	}
	all := []reading{r}
	for i := 0; i < len(all); i++ {
		for begin, unescape := range escapes {
			if all[i].rounds < maxRounds && strings.Contains(all[i].text, begin) {
				all = append(all, all[i].rewritten(unescape))
			}
		}
		all[i].text = strings.ReplaceAll(all[i].text, "+", " ")
	}
	return all
}

// compact leaves out what may stand between the lines of a long value.
func (r reading) compact() reading {
	return r.rewritten(func(text string) (string, int) {
		if strings.IndexByte(" \r\n\t", text[0]) >= 0 {
			return "", 1
		}
		return text[:1], 1
	})
}

// rewritten returns the reading with its pieces replaced. next returns what stands for the beginning of a text, and how much of it
// that is.
func (r reading) rewritten(next func(text string) (string, int)) reading {
	var text strings.Builder
	result := reading{from: make([]int, 0, len(r.text)), to: make([]int, 0, len(r.text)), rounds: r.rounds + 1}
	for i := 0; i < len(r.text); {
		piece, length := next(r.text[i:])
		text.WriteString(piece)
		for range len(piece) {
			result.from, result.to = append(result.from, r.from[i]), append(result.to, r.to[i+length-1])
		}
		i += length
	}
	result.text = text.String()
	return result
}

// escapes are those of URLs, of JSON, PHP and Go, and of HTML, by the character with which they begin. A function returns what
// stands for the beginning of a text, and how much of it that is.
var escapes = map[string]func(text string) (string, int){
	"%": func(text string) (string, int) {
		if plain, err := url.PathUnescape(text[:min(3, len(text))]); text[0] == '%' && err == nil {
			return plain, 3
		}
		return text[:1], 1
	},
	`\`: func(text string) (string, int) {
		if strings.HasPrefix(text, `\/`) {
			return "/", 2
		}
		r, multibyte, rest, err := strconv.UnquoteChar(text, '"')
		switch {
		case text[0] != '\\' || err != nil:
			return text[:1], 1
		case multibyte:
			return string(r), len(text) - len(rest)
		}
		return string([]byte{byte(r & 0xFF)}), len(text) - len(rest)
	},
	"&": func(text string) (string, int) {
		name, _, ends := strings.Cut(text[:min(10, len(text))], ";")
		if plain := html.UnescapeString(name + ";"); text[0] == '&' && ends && plain != name+";" {
			return plain, len(name + ";")
		}
		return text[:1], 1
	},
}

// hide marks where a value stands in the source of a reading. A short one must not be a part of a longer word or number.
func (r reading) hide(hidden []bool, value string) {
	characters := utf8.RuneCountInString(value)
	if characters < minSecret && !strings.ContainsFunc(value, func(c rune) bool { return unicode.IsLetter(c) || unicode.IsNumber(c) }) {
		return // a point or a dash tells nothing
	}
	value = strings.ReplaceAll(value, "+", " ")
	if characters >= minSecret {
		r.hideAll(hidden, value)
		return
	}
	for at := range r.all(value) {
		before, _ := utf8.DecodeLastRuneInString(r.text[:at])
		after, _ := utf8.DecodeRuneInString(r.text[at+len(value):])
		if !isWord(before, characters) && !isWord(after, characters) {
			r.mark(hidden, at, at+len(value))
		}
	}
}

// hideParts marks where a long value or a part of it stands, whatever white space is in it.
func (r reading) hideParts(hidden []bool, value string) {
	value = strings.Join(strings.Fields(strings.ReplaceAll(value, "+", " ")), "")
	r.hideAll(hidden, value)
	for ; len(value) >= partLength; value = value[partLength:] {
		r.hideAll(hidden, value[:partLength])
	}
}

// hideAll marks wherever a value stands. What overlaps is marked once.
func (r reading) hideAll(hidden []bool, value string) {
	marked := 0
	for at := range r.all(value) {
		r.mark(hidden, max(at, marked), at+len(value))
		marked = at + len(value)
	}
}

// all finds a value, also where it overlaps itself. It is the search of Knuth, Morris and Pratt: a text of one letter costs no more
// than another.
func (r reading) all(value string) iter.Seq[int] {
	return func(yield func(int) bool) {
		if value == "" || !strings.Contains(r.text, value) {
			return
		}
		borders := bordersOf(value)
		for i, n := 0, 0; i < len(r.text); i++ {
			for n > 0 && (n == len(value) || r.text[i] != value[n]) {
				n = borders[n-1]
			}
			if r.text[i] == value[n] {
				n++
			}
			if n == len(value) && !yield(i+1-n) {
				return
			}
		}
	}
}

// bordersOf returns for each beginning of a value how much of the value the end of it is again.
func bordersOf(value string) []int {
	borders := make([]int, len(value))
	for i, n := 1, 0; i < len(value); i++ {
		for n > 0 && value[i] != value[n] {
			n = borders[n-1]
		}
		if value[i] == value[n] {
			n++
		}
		borders[i] = n
	}
	return borders
}

func (r reading) mark(hidden []bool, from, to int) {
	for i := r.from[from]; i < r.to[to-1]; i++ {
		hidden[i] = true
	}
}

// isWord reports whether a character beside a short value makes it a part of a longer word: an ASCII letter or digit, and for a value
// of one character any letter. Chinese text has no spaces between words.
func isWord(c rune, characters int) bool {
	if c == utf8.RuneError {
		return false
	}
	return characters == 1 && unicode.IsLetter(c) || c < utf8.RuneSelf && (unicode.IsLetter(c) || unicode.IsDigit(c))
}
