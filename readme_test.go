package membercard_test

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestDocumentsAreCompiled: every block of Go in the documents stands, line by line, in an Example, a test or
// the code under examples.
func TestDocumentsAreCompiled(t *testing.T) {
	t.Parallel()
	var compiled strings.Builder
	for _, pattern := range []string{"examples/*/*.go", "example*_test.go", "migrating_test.go"} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, file := range files {
			compiled.WriteString(trimLines(string(readFile(t, file))))
		}
	}
	for document, least := range map[string]int{"README.md": 3, "README.zh-CN.md": 3, "MIGRATING.md": 2} {
		blocks := strings.Split(string(readFile(t, document)), "```go\n")[1:]
		require.GreaterOrEqual(t, len(blocks), least, document)
		for _, block := range blocks {
			code, _, closed := strings.Cut(block, "\n```")
			require.True(t, closed)
			assert.Contains(t, withoutComments(compiled.String()), withoutComments(trimLines(code)), "%s: not compiled anywhere", document)
		}
	}
	recipes := trimLines(string(readFile(t, "membercardtest/recipes_test.go")))
	found := 0
	for block := range strings.SplitSeq(string(readFile(t, "membercardtest/doc.go")), "\n//\n") {
		if strings.HasPrefix(block, "//\tfunc ") {
			found++
			code := strings.ReplaceAll(strings.ReplaceAll(block, "\n//", "\n"), "//\tfunc ", "func ")
			assert.Contains(t, recipes, trimLines(code), "membercardtest/doc.go: not compiled anywhere")
		}
	}
	assert.GreaterOrEqual(t, found, 4)
}

// TestReadmes have the same code, tables and links in both languages, and are short enough to be read.
func TestReadmes(t *testing.T) {
	t.Parallel()
	english, chinese := string(readFile(t, "README.md")), string(readFile(t, "README.zh-CN.md"))
	for _, readme := range []string{english, chinese} {
		assert.Less(t, strings.Count(readme, "\n"), 150)
		for _, link := range regexp.MustCompile(`\]\(([^)]+)\)`).FindAllStringSubmatch(readme, -1) {
			assert.FileExists(t, link[1])
		}
		for _, path := range regexp.MustCompile("`(?:go run \\./)?((?:examples|cmd)/[a-z/-]+)").FindAllStringSubmatch(readme, -1) {
			assert.DirExists(t, path[1])
		}
	}
	for _, shared := range []*regexp.Regexp{
		regexp.MustCompile("(?s)```go\n.*?```"), regexp.MustCompile("(?m)^## "), regexp.MustCompile(`(?m)^\|`), regexp.MustCompile(`(?m)^\* `),
		regexp.MustCompile("Example[A-Za-z_]+"), regexp.MustCompile(`\d+\.\d+ / \d+\.\d+`), regexp.MustCompile(`\d{4}-\d\d-\d\d`),
	} {
		assert.ElementsMatch(t, shared.FindAllString(withoutComments(english), -1), shared.FindAllString(withoutComments(chinese), -1), shared)
	}
}

var comment = regexp.MustCompile(`(?m)[ \t]*(^|[ \t])//[^\n"]*$`)

// withoutComments drops comments, which may be in Chinese, and the lines that they leave empty.
func withoutComments(code string) string {
	return regexp.MustCompile(`\n+`).ReplaceAllString(comment.ReplaceAllString(code, ""), "\n")
}

func trimLines(code string) string {
	lines := strings.Split(code, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	return strings.Join(lines, "\n")
}
