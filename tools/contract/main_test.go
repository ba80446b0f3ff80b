package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// saved is a page as it would be saved, made for this test.
const saved = `>更新时间：2026.01.02

## 接口说明

请求方式：【POST】 ` + "`/v3/brand/partner/card-member/user-cards/{user_card_code}/invalidate`" + `

接口限频：10/秒（商户号维度）

## 请求参数

### Header 参数
| 参数名 | 类型 | 必填 | 描述 |
| --- |  --- | --- | --- |
| Accept | string | true | x |
### Path 参数
| 参数名 | 类型 | 必填 | 描述 |
| --- |  --- | --- | --- |
| user_card_code | string(32) | true | 【会员卡code】 x SYSTEM\_ALLOCATE |
### Body 参数
| 参数名 | 类型 | 必填 | 描述 |
| --- |  --- | --- | --- |
| brand_id | string(32) | true | 【品牌ID】 x \| y |
| kind | string | false | 【类型】 x<br>可选取值<br><ul><li>` + "`A`" + `:  x</li><li>` + "`B_C`" + `:  y</li></ul> |
| info | object | false | 【信息】 x |
| info.values | array[string(8)] | false | 【值】 x |
| list | array[object] | true | 【列表】 x |
## 应答参数

200 OK

| 参数名 | 类型 | 必填 | 描述 |
| --- |  --- | --- | --- |
| count | integer | true | 【数量】 x |
## 错误码

| 状态码 | 错误码 | 描述 | 解决方案 |
| --- | --- | --- | --- |
| 400 | PARAM\_ERROR | 参数错误 | x |
| 404 | NOT\_FOUND | 不存在 | x |

应答示例

> 200 OK

` + "```\n{\n  \"count\" : 1,\n  \"phone_number\" : \"SEALED\"\n}\n```\n"

func page(t *testing.T, text string) Page {
	t.Helper()
	p, err := ParsePage(text)
	if err != nil {
		t.Fatal(err)
	}
	p.Operation, p.Doc = "Invalidate", "1"
	return p
}

func TestParsePage(t *testing.T) {
	got, err := json.Marshal(page(t, strings.Replace(saved, "SEALED", strings.Repeat("A", 342)+"==", 1)))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"operation":"Invalidate","title":"","doc":"1","date":"2026.01.02","method":"POST",` +
		`"url":"/v3/brand/partner/card-member/user-cards/{user_card_code}/invalidate","rate_per_second":10,` +
		`"header":[{"name":"Accept","type":"string","required":true}],` +
		`"path_params":[{"name":"user_card_code","type":"string","required":true,"max":32,"title":"会员卡code"}],` +
		`"body":[{"name":"brand_id","type":"string","required":true,"max":32,"title":"品牌ID"},` +
		`{"name":"kind","type":"string","required":false,"enum":["A","B_C"],"title":"类型"},` +
		`{"name":"info","type":"object","required":false,"title":"信息"},` +
		`{"name":"info.values","type":"array of string","required":false,"max":8,"title":"值"},` +
		`{"name":"list","type":"array of object","required":true,"title":"列表"}],` +
		`"response":[{"name":"count","type":"integer","required":true,"title":"数量"}],` +
		`"errors":[{"status":400,"code":"PARAM_ERROR","message":"参数错误"},{"status":404,"code":"NOT_FOUND","message":"不存在"}],` +
		`"request_sample":null,"response_sample":{"count":1,"phone_number":"CIPHERTEXT"}}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for _, text := range []string{"", "<html>", saved[:len(saved)/4], strings.ReplaceAll(saved, "object", "map")} {
		if _, err := ParsePage(text); err == nil {
			t.Errorf("no error for %.40q", text)
		}
	}
}

func TestCompare(t *testing.T) {
	known := page(t, saved)
	for change, want := range map[[2]string]string{
		{"", ""}:                                           "",
		{"2026.01.02", "2026.03.04"}:                       "the date is 2026.03.04, was 2026.01.02",
		{"10/秒", "5/秒"}:                                    "the limit a second is 5, was 10",
		{"【POST】", "【PATCH】"}:                              "the method is PATCH, was POST",
		{"/invalidate`", "/end`"}:                          "the path is /v3/brand/partner/card-member/user-cards/{user_card_code}/end, was /v3/brand/partner/card-member/user-cards/{user_card_code}/invalidate",
		{"### Body 参数", "### Query 参数"}:                    "body: brand_id is gone, it is in the query now",
		{"brand_id | string(32)", "brand_id | string(16)"}: "body: brand_id: the length is 16, was 32",
		{"string(32) | true | 【品牌", "string(32) | false | 【品牌"}: "body: brand_id: required is false, was true",
		{"| count | integer", "| count | string"}:               "answer: count: the type is string, was integer",
		{"`B_C`", "`B_D`"}:             "body: kind: the values is A, B_D, was A, B_C",
		{"| list |", "| items |"}:      "body: items is new, array of object, required true",
		{"不存在", "没有"}:                  "errors: new: 404 NOT_FOUND 没有",
		{`"count" : 1`, `"count" : 2`}: "the sample of the answer is another",
	} {
		lines := Compare(known, page(t, strings.ReplaceAll(saved, change[0], change[1])))
		if change[0] == "" {
			lines = Compare(known, page(t, saved))
		}
		if want == "" && len(lines) > 0 || want != "" && !slices.Contains(lines, "Invalidate (1): "+want) {
			t.Errorf("%v: %q", change, lines)
		}
	}
}

// TestTheContractIsWrittenAsItStands: renewing what did not change changes nothing.
func TestTheContractIsWrittenAsItStands(t *testing.T) {
	data, err := os.ReadFile("../../membercardtest/contract/partner.json")
	if err != nil {
		t.Fatal(err)
	}
	var known contract
	if err := json.Unmarshal(data, &known); err != nil {
		t.Fatal(err)
	}
	if string(known.encode()) != string(data) {
		t.Error("the file is written otherwise than it stands")
	}
	if len(known.Operations) != 21 {
		t.Errorf("%d operations", len(known.Operations))
	}
}

// TestRun: pages are fetched, compared and written, and the next run finds nothing.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "contract.json")
	known := page(t, saved)
	known.RequestSample, known.Body[0].Sealed = json.RawMessage(`{"url": "/x"}`), true
	if err := os.WriteFile(file, contract{"test", []Page{known}}.encode(), 0o600); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/1.md" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte(strings.Replace(saved, "10/秒", "20/秒", 1)))
	}))
	defer server.Close()
	steps := []struct {
		args  []string
		drift bool
		says  string
	}{
		{[]string{"-contract", file, dir}, true, "there is no "},
		{[]string{"-contract", file, "-fetch", "-from", server.URL + "/", dir}, true, "the limit a second is 20, was 10"},
		{[]string{"-contract", file, "-write", dir}, true, "the limit a second is 20, was 10"},
		{[]string{"-contract", file, dir}, false, "1 of 1 pages read"},
	}
	for _, step := range steps {
		var out strings.Builder
		drift, err := run(step.args, &out)
		if err != nil || drift != step.drift || !strings.Contains(out.String(), step.says) {
			t.Errorf("%v: %v, %v, %s", step.args, drift, err, out.String())
		}
	}
	data, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(data), `"sealed": true`) || !strings.Contains(string(data), `{"url": "/x"}`) {
		t.Errorf("what is not on the page was lost: %v %s", err, data)
	}
	for _, args := range [][]string{{}, {"-contract", dir + "/none", dir}, {"-contract", file, "-fetch", "-from", server.URL + "/none/", dir}} {
		if _, err := run(args, new(strings.Builder)); err == nil {
			t.Errorf("%v: no error", args)
		}
	}
}
