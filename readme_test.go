package membercard_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestReadmeCodeIsCompiled: every block of Go in the README stands, line by line, in an Example or in
// the code under examples.
func TestReadmeCodeIsCompiled(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("examples/*/*.go")
	require.NoError(t, err)
	var compiled []string
	for _, file := range append(files, "example_test.go") {
		compiled = append(compiled, trimLines(string(readFile(t, file))))
	}
	readme := string(readFile(t, "README.md"))
	assert.Less(t, strings.Count(readme, "\n"), 150, "the README is too long to be read")
	blocks := strings.Split(readme, "```go\n")[1:]
	require.NotEmpty(t, blocks)
	for _, block := range blocks {
		code, _, closed := strings.Cut(block, "\n```")
		require.True(t, closed)
		found := false
		for _, text := range compiled {
			found = found || strings.Contains(text, trimLines(code))
		}
		assert.True(t, found, "not compiled anywhere:\n%s", code)
	}
}

func trimLines(code string) string {
	lines := strings.Split(code, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	return strings.Join(lines, "\n")
}
