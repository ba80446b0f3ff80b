package membercard_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestTheSourceStartsOneGoroutine, for a download of certificates: leaks are impossible where nothing is started. It also
// keeps out what would be deaf to a context or weaken TLS.
func TestTheSourceStartsOneGoroutine(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	internal, err := filepath.Glob("internal/*/*.go")
	require.NoError(t, err)
	read := 0
	var started []string
	for _, file := range append(files, internal...) {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		read++
		positions := token.NewFileSet()
		parsed, err := parser.ParseFile(positions, file, nil, 0)
		require.NoError(t, err)
		ast.Inspect(parsed, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				started = append(started, file)
			case *ast.Ident:
				assert.NotEqual(t, "InsecureSkipVerify", n.Name, positions.Position(n.Pos()))
				if n.Name == "AfterFunc" { // it starts one, too
					started = append(started, file+" later")
				}
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" {
					assert.NotEqual(t, "Sleep", n.Sel.Name, positions.Position(n.Pos()))
				}
			case *ast.FuncDecl:
				assert.NotEqual(t, "init", n.Name.Name, file)
			}
			return true
		})
	}
	require.Greater(t, read, 8)
	assert.Equal(t, []string{"keyring.go later", "keyring.go"}, started)
}
