module github.com/wechatpay-cards/membercard/tools/contract

go 1.26.0
