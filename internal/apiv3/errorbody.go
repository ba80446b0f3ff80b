package apiv3

import "encoding/json"

// ErrorBody is the body of an error answer. Every part is optional and read by itself, so that one
// of an unexpected type does not hide the others.
type ErrorBody struct {
	Code    string
	Message string
	Detail  ErrorDetail
}

// ErrorDetail is the detail of an error body. Raw is nil when there is none.
type ErrorDetail struct {
	Field    string
	Location string
	Issue    string
	Value    json.RawMessage
	Raw      json.RawMessage
}

// ParseErrorBody reads an error body. What is not there, not JSON or not of the expected type is
// left empty.
func ParseErrorBody(body []byte) ErrorBody {
	top := read[map[string]json.RawMessage](body)
	parsed := ErrorBody{Code: read[string](top["code"]), Message: read[string](top["message"])}
	raw := top["detail"]
	if len(raw) == 0 || string(raw) == "null" {
		return parsed
	}
	detail := read[map[string]json.RawMessage](raw)
	parsed.Detail = ErrorDetail{
		Field:    read[string](detail["field"]),
		Location: read[string](detail["location"]),
		Issue:    read[string](detail["issue"]),
		Value:    detail["value"],
		Raw:      raw,
	}
	if parsed.Detail.Issue == "" { // newer answers nest it
		parsed.Detail.Issue = read[string](read[map[string]json.RawMessage](detail["detail"])["issue"])
	}
	return parsed
}

// read returns the zero value for what is not there or of another type.
func read[T any](data []byte) (value T) {
	_ = json.Unmarshal(data, &value)
	return value
}
