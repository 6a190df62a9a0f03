-- wrk: an order as JSON.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"name":"a pot of tea","price":4.25,"count":3,"size":"m","gift":false,"tags":["hot","green"],'
  .. '"address":{"street":"1 Quay","city":"Harbour","zip":"12345"}}'
