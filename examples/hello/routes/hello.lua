-- GET /hello. The path of the file is the address; what the function returns is the answer.
return function(req)
  return { hello = req.query.name or "world" }
end
