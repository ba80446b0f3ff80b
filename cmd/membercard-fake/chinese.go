package main

import (
	"strings"

	"github.com/wechatpay-cards/membercard/internal/language"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

// chinese has the reasons that are no errors of an official page, which has a Chinese text of its own.
var chinese = language.Table{
	{"there must be one Authorization header", "必须有且只有一个 Authorization 请求头"},
	{"the scheme of Authorization must be %", "Authorization 的认证类型必须是 %1"},
	{"the item % of Authorization is not of the form ", "Authorization 的 %1 格式不对，应为 "},
	{"the item % of Authorization is there twice", "Authorization 的 %1 重复"},
	{"the item % of Authorization is missing", "Authorization 缺少 %1"},
	{"there are % items in Authorization, there must be 5", "Authorization 有 %1 项，应为 5 项"},
	{"mchid is not %", "mchid 不是 %1"},
	{"brand_id is not %", "brand_id 不是 %1"},
	{"serial_no is not the serial number of the merchant API certificate", "serial_no 不是商户API证书的序列号"},
	{"timestamp is not a number of seconds", "timestamp 不是秒数"},
	{"timestamp is in milliseconds, it must be in seconds", "timestamp 是毫秒，应为秒"},
	{"timestamp is more than 5 minutes from the server's clock", "timestamp 与服务端时钟相差超过 5 分钟"},
	{"nonce_str was used before", "nonce_str 已经用过"},
	{"the signature does not match", "签名不匹配"},
	{"; the message verified is ", "；用于验签的串是 "},
	{"the path was signed unescaped", "签名时路径未转义"},
	{"path and query were signed unescaped", "签名时路径和查询串未转义"},
	{"the path was escaped twice before it was signed", "签名前路径被转义两次"},
	{"the path was signed without the query", "签名时漏了查询串"},
	{"the last line feed is missing", "签名串末尾缺少换行符"},
	{"the body was left out", "签名串漏了请求体"},
	{"the body was signed without its final line feed", "签名时请求体少了末尾的换行符"},
	{"the body was signed with a line feed that was not sent", "签名时请求体多了未发送的换行符"},
	{"the URL was signed with its host", "签名串里的 URL 带了域名"},
	{"the timestamp was signed in milliseconds", "签名串里的时间戳是毫秒"},
	{"the method was signed as %", "签名串里的请求方法是 %1"},
	{"the body was encoded anew after it was signed, or before", "签名前后请求体被重新编码"},
	{"it was made with RSA-PSS, it must be PKCS #1 v1.5", "签名用了 RSA-PSS，应为 PKCS #1 v1.5"},
	{"it was made with %, it must be SHA-256", "签名用了 %1，应为 SHA-256"},
	{"it was not made with the merchant's key and SHA-256", "不是用商户私钥和 SHA-256 签的名"},
	{"no operation has this path", "没有这个路径的接口"},
	{"no operation with this path has the method", "这个路径的接口不支持该请求方法"},
	{"must admit application/json", "必须接受 application/json"},
	{"must be application/json when there is a body", "有请求体时必须是 application/json"},
	{"Wechatpay-Serial is missing, which names the key of encrypted values", "缺少 Wechatpay-Serial，它指明加密所用的公钥"},
	{"Wechatpay-Serial is missing; this edition requires it", "缺少 Wechatpay-Serial，品牌商户接口必须填写"},
	{"is missing; this operation requires it", "缺失，该接口必填"},
	{"is missing", "缺失"},
	{"is there twice", "重复"},
	{"Wechatpay-Serial is not the id of a valid key of WeChat Pay's", "Wechatpay-Serial 不是有效的微信支付公钥ID或平台证书序列号"},
	{"the page does not define the parameter %", "文档没有定义参数 %1"},
	{"the body has more than 4 MiB", "请求体超过 4 MiB"},
	{"more requests in a second than LimitRate allows", "一秒内的请求数超过设定的限频"},
	{"body parameter ", "请求体参数 "},
	{"query parameter ", "查询参数 "},
	{"uri_template parameter ", "路径参数 "},
	{"the body ", "请求体 "},
	{"is required when rejecting", "拒绝时必填"},
	{"is required", "必填"},
	{"must be a string", "必须是字符串"},
	{"must be an integer", "必须是整数"},
	{"must be a boolean", "必须是布尔值"},
	{"must be an object", "必须是对象"},
	{"must be an array", "必须是数组"},
	{"must be from % to %", "必须在 %1 到 %2 之间"},
	{"must be at least %", "不能小于 %1"},
	{"must have from % to % elements", "元素个数必须在 %1 到 %2 之间"},
	{"must not be empty; leave it out instead", "不能为空，不填时请省略"},
	{"must have at most % characters", "最多 %1 个字符"},
	{"must have at most % bytes", "最多 %1 字节"},
	{"must be one of ", "必须是以下之一："},
	{"must match ", "必须符合 "},
	{"must be a time such as %", "必须是时间，例如 %1"},
	{"must be in the past", "必须早于当前时间"},
	{"must be after begin_time", "必须晚于 begin_time"},
	{"must be encrypted: ", "必须加密："},
	{"it is not Base64: a value in clear?", "不是 Base64，是明文吗？"},
	{"it is not a block of % bytes: a value in clear?", "不是 %1 字节的密文，是明文吗？"},
	{"it is encrypted with OAEP and SHA-256, it must be SHA-1", "加密用了 OAEP 加 SHA-256，应为 SHA-1"},
	{"it is encrypted with PKCS #1 v1.5, it must be OAEP with SHA-1", "加密用了 PKCS #1 v1.5，应为 OAEP 加 SHA-1"},
	{"it does not decrypt with RSA-OAEP and SHA-1: encrypted for another key, the merchant's own perhaps, or with another padding?", "无法用 RSA-OAEP 加 SHA-1 解密：是否用了别的公钥（例如商户自己的）或别的填充方式？"},
	{"is not properly escaped", "转义不正确"},
	{"is not a JSON object", "不是 JSON 对象"},
	{"is not JSON", "不是 JSON"},
	{"is not UTF-8", "不是 UTF-8"},
	{"holds null; leave the parameter out instead", "含有 null，不填时请省略该参数"},
	{"changes nothing", "没有要修改的内容"},
	{"must be multipart/form-data with the parts meta and file", "必须是 multipart/form-data，包含 meta 和 file 两部分"},
	{"must be multipart/form-data with a boundary", "必须是带 boundary 的 multipart/form-data"},
	{"is not the id of the brand's WeChat Pay public key", "不是该品牌的微信支付公钥ID"},
	{"(documented %)", "（文档 %1）"},
	{"(documented)", "（文档）"},
	{"(observed)", "（实际观察）"},
	{"(inferred)", "（推断）"},
	{"(inferred from %)", "（由文档 %1 推断）"},
	{"(membercardtest)", "（本模拟服务自定）"},
}.Translator()

// inLanguage returns the reason of a refusal in a language: the message of the official page, where there is one, and what is
// known beside it. A fault that was injected keeps its name.
func inLanguage(chosen string, r membercardtest.Request) string {
	reason, refused := strings.CutSuffix(r.Reason, " ("+r.Source+")")
	if chosen != "zh" || !refused {
		return r.Reason
	}
	fault := ""
	if name, rest, found := strings.Cut(reason, "; "); found && strings.HasPrefix(name, "fault: ") {
		fault, reason = name+"；", rest
	}
	source := chinese.Translate("(" + r.Source + ")")
	if translated := chinese.Translate(reason); translated != reason {
		return fault + strings.TrimPrefix(r.Message+"；"+translated+source, "；")
	}
	if r.Message == "" {
		return r.Reason
	}
	return fault + r.Message + source // the page's own text says it
}
