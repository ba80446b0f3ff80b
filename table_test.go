package membercard_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
)

// docs returns the doc comments of the root package: of methods of Client, and of constants.
func docs(t *testing.T) (methods, constants map[string]string) {
	t.Helper()
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	methods, constants = map[string]string{}, map[string]string{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		require.NoError(t, err)
		for _, declaration := range parsed.Decls {
			switch d := declaration.(type) {
			case *ast.FuncDecl:
				if d.Recv != nil {
					methods[d.Name.Name] = d.Doc.Text()
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if value, ok := spec.(*ast.ValueSpec); ok {
						constants[value.Names[0].Name] = value.Comment.Text()
					}
				}
			}
		}
	}
	return methods, constants
}

// The repeat classes in the order of the client's table.
const (
	read = iota + 1
	repeatableWrite
	otherWrite
	irreversible
)

// classes pins what may be repeated: a change here is a change of what users rely on.
var classes = map[membercard.Operation]int{
	membercard.OperationListCards:              read,
	membercard.OperationGetCard:                read,
	membercard.OperationListUserCards:          read,
	membercard.OperationGetUserCard:            read,
	membercard.OperationCreatePreAuthToken:     read,
	membercard.OperationCreatePayViewToken:     read,
	membercard.OperationListActivities:         read,
	membercard.OperationSecurityEcho:           read,
	membercard.OperationGetActivity:            read,
	membercard.OperationCreateCard:             otherWrite,
	membercard.OperationUpdateCard:             repeatableWrite,
	membercard.OperationUpdateUserCard:         repeatableWrite,
	membercard.OperationSyncUserPoints:         repeatableWrite,
	membercard.OperationConfirmPointsExchange:  repeatableWrite,
	membercard.OperationCreateUserFeed:         otherWrite,
	membercard.OperationCreateActivity:         otherWrite,
	membercard.OperationUpdateActivity:         repeatableWrite,
	membercard.OperationConfirmUserCard:        otherWrite,
	membercard.OperationImportUserCardByOpenID: otherWrite,
	membercard.OperationImportUserCardByPhone:  otherWrite,
	membercard.OperationUploadImage:            repeatableWrite,
	membercard.OperationInvalidateCard:         irreversible,
	membercard.OperationInvalidateUserCard:     irreversible,
	membercard.OperationTerminateActivity:      irreversible,
}

// TestOperationTable walks the table: every operation has a fake, an example JSON, a repeat class, and
// doc comments with the Chinese term, the limit, the class and the document id.
func TestOperationTable(t *testing.T) {
	t.Parallel()
	methods, constants := docs(t)
	operations := membercard.Operations()
	require.Len(t, operations, 24)
	seen := map[string]bool{}
	for _, operation := range operations {
		name := string(operation.Name)
		assert.False(t, seen[operation.Method+operation.Path], "%s: another operation has this path", name)
		seen[operation.Method+operation.Path] = true
		assert.NotZero(t, operation.Class, "%s has no repeat class", name)

		server := newServer(t)
		_, err := do(t.Context(), server.Client(), requests[operation.Name])
		require.NoError(t, err, "%s has no fake", name)
		assert.Equal(t, operation.Name, server.Requests()[0].Operation)

		require.NotEmpty(t, sampleAnswer(t, operation.Name))

		doc := strings.Join(strings.Fields(methods[name]), " ")
		assert.True(t, strings.HasPrefix(doc, name+" "), "%s: %s", name, doc)
		assert.Regexp(t, `[\p{Han}]{4,}`, doc, "%s: no Chinese term", name)
		assert.Regexp(t, `Rate limit: .*(\d a second|100 a minute|none documented)`, doc, name)
		assert.Regexp(t, `Document (\d{10}|id( of the partner edition)? not known)`, doc, name)
		class, pinned := classes[operation.Name]
		require.True(t, pinned, "the class of %s is not pinned", name)
		assert.Equal(t, class, operation.Class, name)
		assert.Contains(t, doc, []string{
			"", "repeated automatically", "Repeated automatically with identical bytes",
			"Repeated automatically after a rate limit, or when it is certain that nothing was sent",
			"Irreversible: repeated only when it is certain that nothing was sent",
		}[class], name)
		if !operation.Read {
			assert.Regexp(t, `[Aa]fter \[ErrOutcomeUnknown\]`, doc, name)
		}
		assert.Regexp(t, `^(\d+ \(|none documented)`, constants["Operation"+name], name)
	}
}

// TestEveryMethodHasAnExample: the iterators and the other methods that users call, too.
func TestEveryMethodHasAnExample(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("example*_test.go")
	require.NoError(t, err)
	var examples strings.Builder
	for _, file := range files {
		examples.WriteString(string(readFile(t, file)))
	}
	for method := range reflect.TypeFor[*membercard.Client]().Methods() {
		switch method.Name {
		case "Format", "LogValue", "MarshalJSON":
		case "ImportUserCardByPhone", "CreatePayViewToken": // withdrawn: not to be used
		default:
			assert.True(t, strings.Contains(examples.String(), "func ExampleClient_"+method.Name+"()"), method.Name)
		}
	}
}

// TestPlacementIsDeclared: every field of every request says where it travels, and the contested ones are
// those of the operations that have the choice.
func TestPlacementIsDeclared(t *testing.T) {
	t.Parallel()
	for _, operation := range membercard.Operations() {
		if operation.Name == membercard.OperationUploadImage {
			continue
		}
		contested := false
		for field := range reflect.TypeOf(requests[operation.Name]).Fields() {
			in, option, _ := strings.Cut(field.Tag.Get("in"), ",")
			assert.Equal(t, field.Name == "OpenID" || field.Name == "UserCardCode", option == "personal", "%s.%s", operation.Name, field.Name)
			assert.Contains(t, []string{"path", "query", "body", "body|query"}, in, "%s.%s", operation.Name, field.Name)
			contested = contested || in == "body|query"
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			assert.NotEmpty(t, name)
			assert.Equal(t, in == "path", strings.Contains(operation.Path, "{"+name+"}"), "%s.%s", operation.Name, field.Name)
		}
		assert.Equal(t, operation.Contested, contested, operation.Name)
	}
}

// TestNoPathIsBuiltAnotherWay: paths with values are made in one place, which escapes them.
func TestNoPathIsBuiltAnotherWay(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	literal := regexp.MustCompile(`"/v3/|"/brand/|\bbase\b *\+`)
	found := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		for line := range strings.SplitSeq(string(readFile(t, file)), "\n") {
			if literal.MatchString(line) {
				found++
				if file == "edition.go" {
					assert.Regexp(t, `^const base = "/v3/[a-z0-9/-]+"$|OperationUploadImage: "/brand/card-member/media/image-upload"|= "/brand/card-member" \+ path$`, line)
					continue
				}
				assert.Equal(t, "operations.go", file)
				assert.Regexp(t, `^(\s+\w+ += define\[.+\]\(Operation\w+, http\.Method\w+, (base\+)?"/[a-z0-9/{}_-]+", \w+\))$`, line)
			}
		}
	}
	assert.Equal(t, 28, found, "the operations, the download of certificates and what most paths begin with in each edition")
}
