"""What more than one test module needs. Test modules import from here and never from another."""
