-- New CR and DX images go to xemplar; what xemplar sends back does not.
function OnStoredInstance(id, tags, metadata, origin)
  local isImage = tags["Modality"] == "CR" or tags["Modality"] == "DX"
  if isImage and origin["RequestOrigin"] ~= "Lua" and origin["RemoteAet"] ~= "XEMPLAR" then
    SendToModality(id, "xemplar")
  end
end
