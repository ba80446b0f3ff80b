package gates

import (
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/printer"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// surface is the exported surface of the published packages, one declaration a paragraph.
func surface(t *testing.T) string {
	t.Helper()
	var text strings.Builder
	for _, folder := range []string{".", "membercardtest"} {
		positions := token.NewFileSet()
		var files []*ast.File
		for _, file := range sources(t, filepath.Join(folder, "*.go")) {
			parsed, err := parser.ParseFile(positions, file, readFile(t, file), parser.ParseComments)
			require.NoError(t, err)
			files = append(files, parsed)
		}
		whole, err := doc.NewFromFiles(positions, files, folder)
		require.NoError(t, err)
		var declarations []string
		format := printer.Config{Mode: printer.UseSpaces | printer.TabIndent, Tabwidth: 8}
		add := func(declaration ast.Decl) {
			var line strings.Builder
			require.NoError(t, format.Fprint(&line, token.NewFileSet(), withoutComment(declaration)))
			declarations = append(declarations, line.String())
		}
		values := func(all []*doc.Value) {
			for _, v := range all {
				add(v.Decl)
			}
		}
		functions := func(all []*doc.Func) {
			for _, f := range all {
				add(f.Decl)
			}
		}
		values(whole.Consts)
		values(whole.Vars)
		functions(whole.Funcs)
		for _, is := range whole.Types {
			add(is.Decl)
			values(is.Consts)
			values(is.Vars)
			functions(is.Funcs)
			functions(is.Methods)
		}
		slices.Sort(declarations)
		fmt.Fprintf(&text, "package %s\n\n%s\n\n", whole.Name, strings.Join(declarations, "\n\n"))
	}
	return text.String()
}

// withoutComment takes comments and bodies away.
func withoutComment(declaration ast.Decl) ast.Decl {
	switch d := declaration.(type) {
	case *ast.FuncDecl:
		return &ast.FuncDecl{Recv: d.Recv, Name: d.Name, Type: d.Type}
	case *ast.GenDecl:
		d.Doc = nil
		ast.Inspect(d, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.Field:
				n.Doc, n.Comment = nil, nil
			case *ast.ValueSpec:
				n.Doc, n.Comment = nil, nil
			case *ast.TypeSpec:
				n.Doc, n.Comment = nil, nil
			}
			return true
		})
	}
	return declaration
}

// TestTheSurface: api/v0.txt is what users compile against. A change of it is a change for them, and belongs in CHANGELOG.md. Write it
// anew with
//
//	MEMBERCARD_RENEW_SURFACE=1 go test ./internal/gates -run TestTheSurface
func TestTheSurface(t *testing.T) {
	const file = "api/v0.txt"
	now := surface(t)
	if os.Getenv("MEMBERCARD_RENEW_SURFACE") != "" {
		require.NoError(t, os.WriteFile(root+file, []byte(now), 0o600))
	}
	before, after := strings.Split(readFile(t, file), "\n"), strings.Split(now, "\n")
	gone := slices.DeleteFunc(slices.Clone(before), func(line string) bool { return slices.Contains(after, line) })
	added := slices.DeleteFunc(slices.Clone(after), func(line string) bool { return slices.Contains(before, line) })
	assert.True(t, slices.Equal(before, after), "the exported surface changed: say so in CHANGELOG.md and write it anew (MEMBERCARD_RENEW_SURFACE=1 go test ./internal/gates -run TestTheSurface):\n- %s\n+ %s", strings.Join(gone, "\n- "), strings.Join(added, "\n+ "))
}
