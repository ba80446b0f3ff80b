package apiv3

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseErrorBody(t *testing.T) {
	for body, want := range map[string]ErrorBody{
		``:                       {},
		`<html>`:                 {},
		`null`:                   {},
		`[]`:                     {},
		`{"statusCode":200}`:     {},
		`{"code":1,"message":2}`: {},
		`{"code":"PARAM_ERROR","message":null,"detail":null}`: {Code: "PARAM_ERROR"},
		`{"code":7,"message":"m","detail":"text"}`: {
			Message: "m", Detail: ErrorDetail{Raw: []byte(`"text"`)},
		},
		`{"code":"PARAM_ERROR","message":"m","detail":{"field":"/a","value":{"x":1},"issue":"i","location":"body"}}`: {
			Code: "PARAM_ERROR", Message: "m",
			Detail: ErrorDetail{
				Field: "/a", Issue: "i", Location: "body", Value: []byte(`{"x":1}`),
				Raw: []byte(`{"field":"/a","value":{"x":1},"issue":"i","location":"body"}`),
			},
		},
		`{"code":"SIGN_ERROR","detail":{"detail":{"issue":"sign not match"},"field":"signature","location":null}}`: {
			Code: "SIGN_ERROR",
			Detail: ErrorDetail{
				Field: "signature", Issue: "sign not match",
				Raw: []byte(`{"detail":{"issue":"sign not match"},"field":"signature","location":null}`),
			},
		},
	} {
		assert.Equal(t, want, ParseErrorBody([]byte(body)), body)
	}
}

// FuzzParseErrorBody: what was read is in the body, and reading the same again gives the same.
func FuzzParseErrorBody(f *testing.F) {
	f.Add([]byte(`{"code":"PARAM_ERROR","message":"m","detail":{"field":"/a","value":[1],"issue":"i"}}`))
	f.Add([]byte(`{"code":1,"detail":[]}`))
	f.Add([]byte(`<html>`))
	f.Fuzz(func(t *testing.T, body []byte) {
		parsed := ParseErrorBody(body)
		if !json.Valid(body) {
			assert.Equal(t, ErrorBody{}, parsed)
		}
		again, err := json.Marshal(map[string]any{"code": parsed.Code, "message": parsed.Message})
		require.NoError(t, err)
		reparsed := ParseErrorBody(again)
		assert.Equal(t, parsed.Code, reparsed.Code)
		assert.Equal(t, parsed.Message, reparsed.Message)
	})
}

func TestDiagnose(t *testing.T) {
	signed := RequestMessage("POST", "/v3/x?openid=o", 1, "n", []byte("{}"))
	for detail, says := range map[string]string{
		``:                        "",
		`{}`:                      "",
		`{"sign_information":[]}`: "",
		`{"sign_information":{"truncated_sign_message":""}}`:                                                            "",
		`{"sign_information":{"truncated_sign_message":"POST\n/v3/x?openid=o\n1\nn\n{","sign_message_length":27}}`:      "nothing",
		`{"sign_information":{"truncated_sign_message":"GET"}}`:                                                         "method",
		`{"detail":{"sign_information":{"truncated_sign_message":"GET\\n/v3/x?openid=o\\n1\\nn\\n"}}}`:                  "method",
		`{"sign_information":{"truncated_sign_message":"POST\n/v3/x\n1\nn\n{","sign_message_length":7}}`:                "URI, length (7 bytes instead of 27)",
		`{"sign_information":{"truncated_sign_message":"POST\n/v3/x?openid=o\n1\nn\n{\"a","sign_message_length":"29"}}`: "body",
	} {
		different, told := Diagnose([]byte(detail), signed)
		assert.Equal(t, says != "", told, detail)
		if says == "nothing" {
			says = ""
		}
		assert.Equal(t, says, strings.Join(different, ", "), detail)
	}
}
