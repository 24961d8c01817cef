"""Web-map tiles: pyramids in folders, archives and on servers, shown on any grid."""
