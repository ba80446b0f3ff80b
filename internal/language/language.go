// Package language lets programs speak Chinese: which language is wanted, and sentences by a table.
package language

import (
	"fmt"
	"regexp"
	"strings"
)

// Chosen returns zh or en: what a flag says, or, where that is empty, the locale of the environment.
func Chosen(flag string, getenv func(string) string) (string, error) {
	switch flag {
	case "zh", "en":
		return flag, nil
	case "":
	default:
		return "", fmt.Errorf("-lang is zh or en, not %q", flag)
	}
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} { // the first that is set counts
		if locale := getenv(name); locale != "" {
			if strings.HasPrefix(locale, "zh") {
				return "zh", nil
			}
			break
		}
	}
	return "en", nil
}

// Table has sentences of a program and what they are in Chinese. % stands for anything in the first; %1 and so on for what it
// was in the second.
type Table []struct{ English, Chinese string }

// Translator translates with a table.
type Translator []struct {
	pattern *regexp.Regexp
	chinese string
}

// Translator prepares a table. Earlier sentences win.
func (t Table) Translator() Translator {
	translator := make(Translator, len(t))
	for i, sentence := range t {
		pattern := strings.ReplaceAll(regexp.QuoteMeta(sentence.English), "%", "(.+?)")
		if before, ok := strings.CutSuffix(pattern, "(.+?)"); ok {
			pattern = before + `(\S+)`
		}
		translator[i].pattern = regexp.MustCompile(pattern)
		translator[i].chinese = regexp.MustCompile(`%(\d)`).ReplaceAllString(sentence.Chinese, "$${$1}")
	}
	return translator
}

// Translate replaces the sentences of the table wherever they stand in a text. The rest stays as it is.
func (t Translator) Translate(text string) string {
	for _, sentence := range t {
		text = sentence.pattern.ReplaceAllString(text, sentence.chinese)
	}
	return text
}
