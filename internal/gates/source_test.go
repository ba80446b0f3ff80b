package gates

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// root is the folder of the module. The tests do not change into it: then the go command would not see that a file has changed, and
// would show an old result.
const root = "../../"

func readFile(tb testing.TB, name string) string {
	tb.Helper()
	data, err := os.ReadFile(root + name)
	require.NoError(tb, err)
	return string(data)
}

// glob returns the files of some patterns, of which there must be any.
func glob(tb testing.TB, patterns ...string) (all []string) {
	tb.Helper()
	for _, pattern := range patterns {
		files, err := filepath.Glob(root + pattern)
		require.NoError(tb, err)
		require.NotEmpty(tb, files, pattern)
		for _, file := range files {
			all = append(all, strings.TrimPrefix(filepath.ToSlash(file), root))
		}
	}
	return all
}

// sources returns the files of some patterns that are no tests.
func sources(tb testing.TB, patterns ...string) []string {
	tb.Helper()
	return slices.DeleteFunc(glob(tb, patterns...), func(file string) bool { return strings.HasSuffix(file, "_test.go") })
}

// TestTheSourceStartsOneGoroutine, for a download of certificates: leaks are impossible where nothing is started. It also
// keeps out what would be deaf to a context or weaken TLS.
func TestTheSourceStartsOneGoroutine(t *testing.T) {
	t.Parallel()
	read := 0
	var started []string
	for _, file := range sources(t, "*.go", "internal/*/*.go") {
		read++
		positions := token.NewFileSet()
		parsed, err := parser.ParseFile(positions, file, readFile(t, file), 0)
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
				assert.NotEqual(t, "Go", n.Sel.Name, positions.Position(n.Pos())) // of a WaitGroup
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

// TestNoPathIsBuiltAnotherWay: paths with values are made in one place, which escapes them.
func TestNoPathIsBuiltAnotherWay(t *testing.T) {
	t.Parallel()
	literal := regexp.MustCompile(`"/v3/|"/brand/|\bbasePath\b *\+`)
	found := 0
	for _, file := range sources(t, "*.go") {
		for line := range strings.SplitSeq(readFile(t, file), "\n") {
			if literal.MatchString(line) {
				found++
				if file == "edition.go" {
					assert.Regexp(t, `^const basePath = "/v3/[a-z0-9/-]+"$|OperationUploadImage: "/brand/card-member/media/image-upload"|= "/brand/card-member" \+ path$`, line)
					continue
				}
				assert.Equal(t, "operations.go", file)
				assert.Regexp(t, `^(\s+\w+ += define\[.+\]\(Operation\w+, http\.Method\w+, (basePath\+)?"/[a-z0-9/{}_-]+", \w+\))$`, line)
			}
		}
	}
	assert.Equal(t, 28, found, "the operations, the download of certificates and what most paths begin with in each edition")
}

// TestATestBesideEachSource: the test of a file stands beside it.
func TestATestBesideEachSource(t *testing.T) {
	t.Parallel()
	for _, file := range sources(t, "*.go", "internal/*/*.go", "membercardtest/*.go") {
		if base := filepath.Base(file); base != "doc.go" {
			assert.FileExists(t, root+strings.TrimSuffix(file, ".go")+"_test.go")
		}
	}
}

// TestNoLocalShadows: in the tests of the root no local has the name of a variable or constant of the package.
func TestNoLocalShadows(t *testing.T) {
	t.Parallel()
	positions := token.NewFileSet()
	var files []*ast.File
	shared := map[string]bool{}
	for _, file := range glob(t, "*_test.go") {
		parsed, err := parser.ParseFile(positions, file, readFile(t, file), parser.SkipObjectResolution)
		require.NoError(t, err)
		if parsed.Name.Name != "membercard_test" {
			continue
		}
		files = append(files, parsed)
		for _, declaration := range parsed.Decls {
			if d, ok := declaration.(*ast.GenDecl); ok {
				for _, spec := range d.Specs {
					if value, ok := spec.(*ast.ValueSpec); ok {
						for _, name := range value.Names {
							shared[name.Name] = true
						}
					}
				}
			}
		}
	}
	delete(shared, "_")
	check := func(names ...*ast.Ident) {
		for _, name := range names {
			assert.False(t, shared[name.Name], "%s: %s is a name of the package", positions.Position(name.Pos()), name.Name)
		}
	}
	for _, file := range files {
		for _, declaration := range file.Decls {
			function, ok := declaration.(*ast.FuncDecl)
			if !ok {
				continue
			}
			ast.Inspect(function, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.AssignStmt:
					if n.Tok == token.DEFINE {
						for _, left := range n.Lhs {
							check(left.(*ast.Ident))
						}
					}
				case *ast.RangeStmt:
					if n.Tok == token.DEFINE {
						for _, left := range []ast.Expr{n.Key, n.Value} {
							if name, ok := left.(*ast.Ident); ok {
								check(name)
							}
						}
					}
				case *ast.ValueSpec:
					check(n.Names...)
				case *ast.FuncType:
					for _, list := range []*ast.FieldList{n.Params, n.Results} {
						if list != nil {
							for _, field := range list.List {
								check(field.Names...)
							}
						}
					}
				}
				return true
			})
		}
	}
}

// TestSentencesAreShort: a sentence of the documentation has one idea, and at most 25 words. A colon or a semicolon ends one. A line of it
// has at most 140 columns.
func TestSentencesAreShort(t *testing.T) {
	t.Parallel()
	ends := regexp.MustCompile(`[.!?:;]["”)]?\s+`)
	word := regexp.MustCompile(`\S*\w\S*`)
	read := 0
	for _, file := range sources(t, "*.go", "internal/*/*.go", "membercardtest/*.go") {
		positions := token.NewFileSet()
		parsed, err := parser.ParseFile(positions, file, readFile(t, file), parser.ParseComments)
		require.NoError(t, err)
		for _, group := range parsed.Comments {
			for _, comment := range group.List {
				if at := positions.Position(comment.Pos()); at.Column < 10 { // not behind code
					assert.LessOrEqual(t, at.Column+utf8.RuneCountInString(comment.Text), 140, at)
				}
			}
			for paragraph := range strings.SplitSeq(group.Text(), "\n\n") {
				if strings.HasPrefix(paragraph, "\t") || strings.HasPrefix(paragraph, "  ") {
					continue // code, or a list
				}
				for _, sentence := range ends.Split(paragraph, -1) {
					read++
					assert.LessOrEqual(t, len(word.FindAllString(sentence, -1)), 25, "%s: %s", positions.Position(group.Pos()), sentence)
				}
			}
		}
	}
	assert.Greater(t, read, 500)
}
