package gates

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// row is an operation of the client's table, as operations.go has it.
type row struct{ name, class string }

func rows(t *testing.T) (all []row) {
	t.Helper()
	define := regexp.MustCompile(`define\[.+\]\(Operation(\w+), http\.Method\w+, .+, (\w+)\)`)
	for _, match := range define.FindAllStringSubmatch(readFile(t, "operations.go"), -1) {
		all = append(all, row{match[1], match[2]})
	}
	require.Len(t, all, 25, "with the download of certificates")
	return slices.DeleteFunc(all, func(r row) bool { return r.name == "DownloadCertificates" })
}

// docs returns the doc comments of the root package: of methods of Client, and of constants.
func docs(t *testing.T) (methods, constants map[string]string) {
	t.Helper()
	methods, constants = map[string]string{}, map[string]string{}
	for _, file := range sources(t, "*.go") {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, readFile(t, file), parser.ParseComments)
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

// TestOperationDocs: the comment of every operation has the Chinese term, the limit, the class of retries and the document id.
func TestOperationDocs(t *testing.T) {
	t.Parallel()
	methods, constants := docs(t)
	for _, operation := range rows(t) {
		name := operation.name
		doc := strings.Join(strings.Fields(methods[name]), " ")
		assert.True(t, strings.HasPrefix(doc, name+" "), "%s: %s", name, doc)
		assert.Regexp(t, `[\p{Han}]{4,}`, doc, "%s: no Chinese term", name)
		assert.Regexp(t, `Rate limit: .*(\d a second|none documented)`, doc, name)
		assert.Regexp(t, `Document \d{10}`, doc, name)
		says, known := map[string]string{
			"read":            "retried automatically",
			"idempotentWrite": "Retried automatically with identical bytes",
			"otherWrite":      "Retried automatically after a rate limit, or when it is certain that nothing was sent",
			"irreversible":    "Irreversible: retried only when it is certain that nothing was sent",
		}[operation.class]
		require.True(t, known, operation.class)
		assert.Contains(t, doc, says, name)
		if operation.class != "read" {
			assert.Regexp(t, `[Aa]fter \[ErrOutcomeUnknown\]`, doc, name)
		}
		assert.Regexp(t, `^(\d+ \(|none documented)`, constants["Operation"+name], name)
	}
}

// page is an official page as membercardtest/contract has it.
type page struct {
	Operation string `json:"operation"`
	Doc       string `json:"doc"`
	Date      string `json:"date"`
	Rate      int    `json:"rate_per_second"`
}

// TestContractDocs: limit, date and document id in the comments are those of the pages.
func TestContractDocs(t *testing.T) {
	t.Parallel()
	methods, constants := docs(t)
	var pages []page
	for _, file := range []string{"partner", "others"} {
		var read struct {
			Operations []page `json:"operations"`
		}
		require.NoError(t, json.Unmarshal([]byte(readFile(t, "membercardtest/contract/"+file+".json")), &read))
		pages = append(pages, read.Operations...)
	}
	require.Len(t, pages, 25)
	for _, page := range pages {
		if page.Operation == "DownloadCertificates" {
			continue // no method of its own
		}
		rate := "none documented"
		if page.Rate > 0 {
			rate = fmt.Sprint(page.Rate)
		}
		assert.True(t, strings.HasPrefix(constants["Operation"+page.Operation], rate+" ("+page.Date+")"), page.Operation)
		doc := strings.Join(strings.Fields(methods[page.Operation]), " ")
		if page.Rate > 0 {
			rate += " a second for each merchant number"
		}
		assert.Contains(t, doc, "Rate limit: "+rate+" ("+page.Date+").", page.Operation)
		assert.Contains(t, doc, "Document "+page.Doc+".", page.Operation)
	}
}

// TestEveryMethodHasAnExample: the iterators and the other methods that users call, too.
func TestEveryMethodHasAnExample(t *testing.T) {
	t.Parallel()
	var examples strings.Builder
	for _, file := range glob(t, "example*_test.go") {
		examples.WriteString(readFile(t, file))
	}
	methods := regexp.MustCompile(`func \(\w+ \*?Client\) ([A-Z]\w+)\(`).FindAllStringSubmatch(readFile(t, "api/v0.txt"), -1)
	require.Greater(t, len(methods), 25)
	for _, method := range methods {
		switch method[1] {
		case "Format", "LogValue", "MarshalJSON":
		case "ImportUserCardByPhone", "CreatePayViewToken": // withdrawn: not to be used
		default:
			assert.True(t, strings.Contains(examples.String(), "func ExampleClient_"+method[1]+"()"), method[1])
		}
	}
}
