-- GET /hello, GET /hello?name=you
return function(req)
  return { hello = req.query.name or "world" }
end
