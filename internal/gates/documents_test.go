package gates

import (
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
		for _, file := range glob(t, pattern) {
			compiled.WriteString(trimLines(readFile(t, file)))
		}
	}
	for document, least := range map[string]int{"README.md": 3, "README.zh-CN.md": 3, "MIGRATING.md": 3, "MIGRATING.zh-CN.md": 3} {
		blocks := strings.Split(readFile(t, document), "```go\n")[1:]
		require.GreaterOrEqual(t, len(blocks), least, document)
		for _, block := range blocks {
			code, _, closed := strings.Cut(block, "\n```")
			require.True(t, closed)
			assert.Contains(t, withoutComments(compiled.String()), withoutComments(trimLines(code)), "%s: not compiled anywhere", document)
		}
	}
	recipes := trimLines(readFile(t, "membercardtest/recipes_test.go"))
	found := 0
	for block := range strings.SplitSeq(readFile(t, "membercardtest/doc.go"), "\n//\n") {
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
	english, chinese := readFile(t, "README.md"), readFile(t, "README.zh-CN.md")
	for _, readme := range []string{english, chinese} {
		assert.Less(t, strings.Count(readme, "\n"), 150)
		for _, link := range regexp.MustCompile(`\]\(([^)]+)\)`).FindAllStringSubmatch(readme, -1) {
			assert.FileExists(t, root+link[1])
		}
		for _, path := range regexp.MustCompile("`(?:go run \\./)?((?:examples|cmd)/[a-z/-]+)").FindAllStringSubmatch(readme, -1) {
			assert.DirExists(t, root+path[1])
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

// TestSecurityTests: the tests that hold a promise are there.
func TestSecurityTests(t *testing.T) {
	t.Parallel()
	var tests strings.Builder
	for _, file := range glob(t, "*_test.go", "membercardtest/*_test.go", "internal/*/*_test.go") {
		tests.WriteString(readFile(t, file))
	}
	named := regexp.MustCompile("`((?:Test|Fuzz)\\w+)`").FindAllStringSubmatch(readFile(t, "SECURITY.md"), -1)
	require.Greater(t, len(named), 20)
	for _, name := range named {
		assert.Contains(t, tests.String(), "func "+name[1]+"(", "SECURITY.md names a test that is not there")
	}
}
